// Connects to the monitor and passes each event to the parts of the page.

import { setClass, setText } from "./dom.js";
import { clock } from "./format.js";
import { lost, show } from "./overview.js";
import { showPartitions } from "./partitions.js";
import { addPoint, setPoints } from "./trends.js";
import { showWaiting } from "./dead.js";
import { setEvents } from "./events.js";

const SILENT = 8000; // ms without an event until the page says so
const RECONNECT = 3000; // ms

const news = document.getElementById("news");
let newsAt = 0;
let seenAt = 0; // Unix time of the latest snapshot
let problem = "";

function connect() {
  const stream = new EventSource("api/stream");
  stream.addEventListener("history", (event) => {
    const { points, events } = JSON.parse(event.data);
    setEvents(events);
    setPoints(points);
  });
  stream.addEventListener("snapshot", (event) => {
    const { snapshot, problems, notices, point, events } = JSON.parse(event.data);
    problem = "";
    newsAt = performance.now();
    seenAt = snapshot.at;
    show(snapshot, problems, notices);
    setEvents(events);
    showPartitions(snapshot);
    showWaiting(snapshot);
    addPoint(point, snapshot.flows);
    showNews();
  });
  stream.addEventListener("lost", (event) => {
    const lostWith = JSON.parse(event.data);
    problem = lostWith.problem;
    setEvents(lostWith.events);
    newsAt = performance.now();
    lost(problem, seenAt);
    showNews();
  });
  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(reconnect, RECONNECT);
  };
}

async function reconnect() {
  // EventSource does not say why a stream was refused; the session may have expired.
  const answer = await fetch("metrics").catch(() => null);
  if (answer?.status === 401) location.reload();
  else connect();
}

function showNews() {
  const silent = performance.now() - newsAt;
  if (!newsAt) return;
  if (silent > SILENT && !problem) {
    setClass(news, "news bad");
    setText(news, `no update for ${Math.round(silent / 1000)} s`);
  } else {
    setClass(news, problem ? "news bad" : "news good");
    setText(news, problem ? "no broker" : `live ${clock(seenAt)}`);
  }
}

setInterval(showNews, 1000);
connect();
