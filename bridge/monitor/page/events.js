// The list of events, newest first, and the events to mark in the charts.

import { el, keyed, setClass, setText } from "./dom.js";
import { clock } from "./format.js";

const SHOWN = 30;

const list = document.getElementById("events");
const none = document.getElementById("no-events");
let events = [];

/** Replace the list by one of events.py, oldest first; null means that it has not changed. */
export function setEvents(all) {
  if (!all) return;
  events = all;
  none.hidden = events.length > 0;
  const make = () => el("li", {}, el("time"), el("b"), el("span"), el("em"));
  const key = (event) => `${event.at} ${event.subject} ${event.kind}`;
  keyed(list, events.slice(-SHOWN).reverse(), key, make, fill);
}

/** Return the events as marks for a chart: {at, text, bad}. */
export function marks() {
  return events.map((event) => ({ at: event.at, text: `${event.subject}: ${event.kind}`, bad: event.alarming }));
}

function fill(node, event) {
  setClass(node, event.alarming ? "bad" : "");
  const [at, subject, what, fix] = node.children;
  setText(at, clock(event.at));
  setText(subject, event.subject);
  setText(what, event.what);
  setText(fix, event.fix);
}
