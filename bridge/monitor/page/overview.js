// The health, the key figures, and one row per queue and process.

import { el, keyed, row, setClass, setText } from "./dom.js";
import { NONE, UNKNOWN, age, clock, count, depthText, nameOf, oldest, oldestOf, plural, rate, seconds, share, totalDepth, unackedText } from "./format.js";
import { colourOf, forget } from "./colours.js";
import { showActions } from "./flows.js";

const at = (id) => document.getElementById(id);
const health = at("health");

/** Show one snapshot, its problems, and its notices: what is not as it should be, and no problem yet. */
export function show(snapshot, problems, notices) {
  setClass(document.body, "");
  const state = problems.length ? "bad" : notices.length ? "warn" : "good";
  const noticed = notices.length ? `No problems, ${plural(notices.length, "notice")}` : "No problems";
  const also = notices.length ? `, ${plural(notices.length, "notice")}` : "";
  const title = problems.length ? plural(problems.length, "problem") + also : noticed;
  showHealth(state, title, [...problems, ...notices]);
  document.title = problems.length ? `(${problems.length}) rasa-bridge` : "rasa-bridge";
  showFigures(snapshot);
  keyed(at("queues").tBodies[0], snapshot.flows, nameOf, () => row(at("queues")), fillQueue);
  at("incoming-part").hidden = !snapshot.incoming.length;
  keyed(at("incoming").tBodies[0], snapshot.incoming, (one) => one.channel, () => row(at("incoming")), fillIncoming);
  const reported = snapshot.flows.filter((flow) => flow.outcomes);
  at("outcomes-part").hidden = !reported.length;
  keyed(at("outcomes").tBodies[0], reported, nameOf, () => row(at("outcomes")), fillOutcomes);
  forget(snapshot.processes.map((process) => process.name));
  const processes = at("processes");
  keyed(processes.tBodies[0], snapshot.processes, (p) => p.name, () => row(processes), fillProcess);
  setClass(processes, snapshot.processes.some((p) => p.model) ? "cards" : "cards without-last");
  setText(at("where"), `${snapshot.namespace} at ${snapshot.broker}`);
  setText(at("about"), `Sources: ${snapshot.sources.map(sourceName).join(", ")}. Rates and latencies cover the last 15 seconds.`);
}

/** Show that there is no broker, and how old the data on the page is. */
export function lost(problem, seenAt) {
  const then = seenAt ? ` The data below is from ${clock(seenAt)}.` : "";
  const line = { text: `${problem}; retrying.${then}`, runbook: "no-broker", flow: "", channel: "", actions: [] };
  showHealth("bad", "No broker", [line]);
  setClass(document.body, "stale");
  document.title = "(!) rasa-bridge";
}

function showHealth(state, title, lines) {
  setClass(health, `health ${state}`);
  setText(health.querySelector("h2"), title);
  showProblems(health.querySelector("ul"), lines);
}

function showProblems(list, lines) {
  const make = () => {
    const each = el("details", {}, el("summary", {}, "Each channel"), el("ul"));
    return el("li", {}, el("span"), el("a", { target: "_blank" }, "Runbook"), el("span", { class: "buttons" }), each);
  };
  // By what it concerns, not by its text, which changes every two seconds under the pointer.
  const seen = {};
  const key = ({ runbook, flow, channel }) => {
    const name = `${runbook} ${flow} ${channel}`;
    return `${name} ${(seen[name] = (seen[name] ?? 0) + 1)}`;
  };
  keyed(list, lines, key, make, fillProblem);
}

function fillProblem(node, { text, runbook, flow, channel, actions, parts = [] }) {
  const [said, link, buttons, each] = node.children;
  setText(said, text);
  link.href = `page/runbooks.html#${runbook}`;
  link.setAttribute("aria-label", `Runbook ${runbook}`);
  showActions(buttons, { flow, channel }, actions);
  each.hidden = !parts.length;
  showProblems(each.querySelector("ul"), parts);
}

function sourceName(source) {
  return { amqp: "AMQP", reports: "process reports", management: "management API" }[source];
}

function showFigures(snapshot) {
  const dead = Object.values(snapshot.dead).reduce((sum, number) => sum + number, 0);
  const figures = [
    ["messages in queues", totalDepth(snapshot.flows)],
    ["oldest message", oldestOf(snapshot.flows)],
    ["acknowledged/s", rate(snapshot.acknowledged)],
    ["acknowledgement p95", snapshot.acknowledgement ? seconds(snapshot.acknowledgement.p95) : NONE],
    ["rejected/s", rate(snapshot.rejected), snapshot.rejected ? "warn" : ""],
    ["dead letters", count(dead), dead ? "warn" : ""],
  ];
  const make = () => el("div", {}, el("dt"), el("dd"));
  keyed(at("figures"), figures, ([name]) => name, make, (node, [name, value, state]) => {
    setText(node.children[0], name);
    setText(node.children[1], value);
    setClass(node.children[1], state ?? "");
  });
}

function fill(tr, texts) {
  texts.forEach((text, index) => text !== null && setText(tr.cells[index], text));
}

function fillQueue(tr, flow) {
  const consumed = flow.partitions.filter((partition) => partition.consumers).length;
  fill(tr, [
    nameOf(flow) + (flow.paused ? " (service down)" : "") + (flow.stopped ? " (paused)" : ""),
    depthText(flow),
    unackedText(flow),
    oldest(flow),
    rate(flow.published),
    rate(flow.settled),
    null,
    null,
    rate(flow.retries),
    rate(flow.redeliveries),
    `${consumed}/${flow.partitions.length}`,
  ]);
  fillPercentiles(tr.cells[6], flow.queueing);
  fillPercentiles(tr.cells[7], flow.work);
  setClass(tr, flow.consumers ? (flow.paused || flow.stopped ? "warn" : "") : "bad");
  setClass(tr.cells[8], flow.retries ? "warn" : "");
  setClass(tr.cells[9], flow.redeliveries ? "warn" : "");
  setClass(tr.cells[11], "buttons");
  showActions(tr.cells[11], flow, flow.stopped ? ["resume"] : ["pause"]);
}

/** Return rates by status or code as text. */
const rates = (by) => Object.entries(by).map(([key, value]) => `${key}: ${rate(value)}/s`).join(", ") || NONE;

function fillIncoming(tr, { channel, accepted, rejected, statuses }) {
  fill(tr, [channel || "unknown URLs", rate(accepted), rate(rejected), rates(statuses)]);
  setClass(tr, rejected ? "warn" : "");
}

function fillOutcomes(tr, { channel, outcomes: { delivered, failed, codes, time_to_delivery } }) {
  fill(tr, [channel, share(delivered, delivered + failed), rate(delivered), rate(failed), rates(codes), null]);
  fillPercentiles(tr.cells[5], time_to_delivery);
  setClass(tr.cells[3], failed ? "warn" : "");
}

function fillPercentiles(td, latency) {
  if (!td.firstChild) td.append(...["p50", "p95", "p99"].map((name) => el("span", { class: "part", title: name })));
  const { p50, p95, p99 } = latency ?? {};
  [p50, p95, p99].forEach((value, index) => setText(td.children[index], latency ? seconds(value) : NONE));
}

/** The number of lanes, and how many of them only wait for a quiet conversation. */
const lanes = ({ lanes: open, quiet }) => (quiet ? `${count(open)} (${quiet} quiet)` : count(open));

function fillProcess(tr, process) {
  const consumes = process.consumes.length > 0;
  const name = tr.cells[0];
  if (!name.firstChild) name.append(el("span", { class: "swatch" }), el("span"));
  setClass(name.children[0], consumes ? `swatch ${colourOf(process.name)}` : "swatch none");
  setText(name.children[1], process.name);
  setClass(tr, process.silent_for ? "bad" : "");
  const known = process.silent_for
    ? [process.partitions ? count(process.partitions) : UNKNOWN, UNKNOWN, `${UNKNOWN}/${process.slots}`]
    : [count(process.partitions), lanes(process), `${process.busy}/${process.slots}`];
  const numbers = consumes ? known : [NONE, NONE, NONE];
  const uptime = process.silent_for ? `silent ${age(process.silent_for)}` : age(process.uptime);
  [...numbers, uptime, process.model || NONE].forEach((text, index) => setText(tr.cells[index + 1], text));
}
