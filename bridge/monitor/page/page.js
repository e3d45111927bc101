// Connects to the monitor and hands what comes to each part of the page.

import { setClass, setText } from "./dom.js";
import { clock } from "./format.js";
import { lost, show } from "./overview.js";
import { showPartitions } from "./partitions.js";
import { addPoint, setPoints } from "./trends.js";
import { showWaiting } from "./dead.js";

const SILENT = 8000; // ms without news after which the page says so
const AGAIN = 3000;

const news = document.getElementById("news");
let newsAt = 0;
let seenAt = 0; // Unix time of the latest snapshot
let problem = "";

function connect() {
  const stream = new EventSource("api/stream");
  stream.addEventListener("history", (event) => setPoints(JSON.parse(event.data).points));
  stream.addEventListener("snapshot", (event) => {
    const { snapshot, problems, point } = JSON.parse(event.data);
    problem = "";
    newsAt = performance.now();
    seenAt = snapshot.at;
    show(snapshot, problems);
    showPartitions(snapshot);
    showWaiting(snapshot);
    addPoint(point);
    tell();
  });
  stream.addEventListener("lost", (event) => {
    problem = JSON.parse(event.data).problem;
    newsAt = performance.now();
    lost(problem, seenAt);
    tell();
  });
  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(again, AGAIN);
  };
}

async function again() {
  // A browser does not say why a stream was refused; it may be that the session has ended.
  const answer = await fetch("metrics").catch(() => null);
  if (answer?.status === 401) location.reload();
  else connect();
}

function tell() {
  const silent = performance.now() - newsAt;
  if (!newsAt) return;
  if (silent > SILENT && !problem) {
    setClass(news, "news bad");
    setText(news, `no news for ${Math.round(silent / 1000)} s`);
  } else {
    setClass(news, problem ? "news bad" : "news good");
    setText(news, problem ? "no broker" : `live ${clock(seenAt)}`);
  }
}

setInterval(tell, 1000);
connect();
