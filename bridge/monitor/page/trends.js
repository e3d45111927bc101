// The series in the charts, for all queues or only the selected one.

import { Chart, SPANS } from "./charts.js";
import { el, keyed, setText } from "./dom.js";
import { NONE, count, nameOf, oldestOf, rate, seconds, totalDepth } from "./format.js";
import { colourOfQueue } from "./colours.js";
import { marks } from "./events.js";

// Indices of the fields in a FlowPoint (history.py).
const [DEPTH, OLDEST, PUBLISHED, SETTLED, , WORK] = [0, 1, 2, 3, 4, 5];

const legend = document.getElementById("legend");
let points = [];
let current = []; // the flows of the latest snapshot, which tells what is not fully known
let chosen = null; // name of the selected queue, if any

const charts = {
  depth: new Chart("Depth", compact),
  oldest: new Chart("Oldest message", seconds),
  rates: new Chart("Messages per second: in —, out ┄", compact),
  acknowledgement: new Chart("Acknowledgement time: p95, p50–p99", seconds),
  turn: new Chart("Turn duration: p95, p50–p99", seconds),
  delivery: new Chart("Delivery duration: p95", seconds),
};
document.getElementById("charts").append(...Object.values(charts).map((chart) => chart.node));

/** Replace all points, each a `Point` of history.py. */
export function setPoints(all) {
  points = all;
  draw();
}

/** Add the point of a snapshot, unless it is in the history already; `flows` are the snapshot's. */
export function addPoint(point, flows) {
  current = flows;
  if (!points.length || point.at > points.at(-1).at) points.push(point);
  while (points[0].at < point.at - SPANS.at(-1)) points.shift();
  draw();
}

function draw() {
  if (!points.length) return;
  const { at: end, flows } = points.at(-1);
  const all = Object.keys(flows).map((name, index) => ({ name, colour: colourOfQueue(index) }));
  if (!all.some(({ name }) => name === chosen)) chosen = null;
  showLegend(all);
  const shown = all.filter(({ name }) => !chosen || name === chosen);
  const latest = (field) => total(shown.map(({ name }) => flows[name][field]));

  const marked = marks();
  const put = (chart, lines, said) => chart.draw(lines, points[0].at, end, said, marked);

  const now = current.filter((flow) => shown.some(({ name }) => name === nameOf(flow)));
  put(charts.depth, shown.map((flow) => line(flow, DEPTH)), now.length ? totalDepth(now) : NONE);
  put(charts.oldest, shown.map((flow) => line(flow, OLDEST)), oldestOf(now));
  const sent = shown.map((flow) => ({ ...line(flow, PUBLISHED), name: `${flow.name} in` }));
  const done = shown.map((flow) => ({ ...line(flow, SETTLED), name: `${flow.name} out`, dashed: true }));
  const rates = `${latest(PUBLISHED)} in, ${latest(SETTLED)} out`;
  put(charts.rates, [...sent, ...done], rates);
  const acknowledged = (point) => point.acknowledgement;
  put(charts.acknowledgement, [spread("webhooks", "c0", acknowledged)], p95(acknowledged(points.at(-1))));
  const turn = (point) => point.flows.inbound?.[WORK] ?? null;
  put(charts.turn, [spread("turns", "c0", turn)], p95(turn(points.at(-1))));
  put(charts.delivery, ...deliveries(shown.filter(({ name }) => name !== "inbound")));
}

/** Return a line per channel, and the highest current p95. */
function deliveries(channels) {
  const work = (name) => (point) => point.flows[name]?.[WORK] ?? null;
  const lines = channels.map(({ name, colour }) => spread(name, colour, work(name)));
  // Bands of several channels would overlap.
  if (lines.length > 1) for (const one of lines) delete one.band;
  const latest = channels.map(({ name }) => work(name)(points.at(-1))).filter((value) => value);
  return [lines, p95(latest.sort((one, other) => other[1] - one[1])[0])];
}

function line({ name, colour }, field) {
  return { name, colour, values: points.map((p) => [p.at, p.flows[name]?.[field] ?? null]) };
}

/** Return a line at p95 in a band from p50 to p99; `of(point)` returns the three, or null. */
function spread(name, colour, of) {
  const percentiles = points.map((point) => [point.at, ...(of(point) ?? [null, null, null])]);
  return {
    name,
    colour,
    values: percentiles.map(([at, p50, p95, p99]) => [at, p95, p50, p99]),
    band: percentiles.map(([at, p50, , p99]) => [at, p50, p99]),
    read: ([, p95, p50, p99]) => [p50, p95, p99].map(seconds).join(" · "),
  };
}

function showLegend(all) {
  const make = ({ name, colour }) => {
    const swatch = el("span", { class: `swatch ${colour}` });
    const button = el("button", { type: "button" }, swatch, el("span", {}, name));
    button.addEventListener("click", () => {
      chosen = chosen === name ? null : name;
      draw();
    });
    return button;
  };
  keyed(legend, all, ({ name }) => name, make, (button, { name }) => {
    button.setAttribute("aria-pressed", String(chosen === name));
    setText(button.children[1], name);
  });
}

/** Return the sum of rates as text; if one is unknown, it is a lower bound. */
function total(rates) {
  const known = rates.filter((one) => one !== null);
  const sum = rate(known.length ? known.reduce((all, one) => all + one, 0) : null);
  return known.length && known.length < rates.length ? `≥ ${sum}` : sum;
}

function p95(percentiles) {
  return percentiles ? seconds(percentiles[1]) : NONE;
}

function compact(value) {
  if (value >= 10000) return `${Math.round(value / 1000)}k`;
  return value === 0 || value >= 10 ? count(Math.round(value)) : String(+value.toPrecision(2));
}
