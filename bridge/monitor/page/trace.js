// Search for one message: its hops as a waterfall.

import { el, row, setText, svg } from "./dom.js";
import { NONE, clock, plural, seconds } from "./format.js";

const at = (id) => document.getElementById(id);
const [form, result, found] = [at("trace-form"), at("trace-result"), at("trace-found")];

let latest = 0;

async function search(id) {
  const number = ++latest;
  const began = Date.now();
  setText(result, "Searching …");
  const waiting = setInterval(() => {
    if (number === latest) setText(result, `Searching … ${Math.round((Date.now() - began) / 1000)} s`);
  }, 1000);
  found.replaceChildren();
  try {
    const answer = await fetch("api/trace", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ id }),
    });
    if (answer.status === 401) location.reload();
    const body = await answer.json();
    if (number !== latest) return; // a later search has begun
    if (!answer.ok) return setText(result, body.error);
    const count = body.found ? `${plural(body.found, "message")} found` : `Nothing found${searched(body.since)}. A hop appears within 2 s`;
    setText(result, body.found > body.stories.length ? `${count}, the latest are shown.` : `${count}.`);
    found.replaceChildren(...body.stories.reverse().flatMap(waterfall));
  } catch {
    if (number === latest) setText(result, "The monitor did not answer.");
  } finally {
    clearInterval(waiting);
  }
}

const searched = (since) => (since ? ` since ${clock(since)}, when the trace begins` : "");

function waterfall(story) {
  const names = ["hop", "after", "took", "", "what", "process"];
  const head = el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)));
  const table = el("table", { class: "cards trace" }, el("thead", {}, head), el("tbody"));
  table.tBodies[0].append(...story.rows.map((one) => hopRow(table, one, story)));
  const missing = story.missing ? `, ${story.missing} missing` : "";
  const facts = `${clock(story.began)} · ${story.channel} · ${story.conversation} · ${story.outcome}${missing}`;
  return [el("h3", {}, story.id), el("p", { class: "dim" }, facts), table];
}

function hopRow(table, one, story) {
  const tr = row(table);
  const after = Math.max(0, one.at - story.began);
  const missing = one.state === "missing" && !one.what ? "missing" : one.what;
  const texts = [one.name + (one.reply ? ` :${one.reply}` : ""), seconds(after), one.seconds === null ? NONE : seconds(one.seconds), "", missing, one.process];
  texts.forEach((text, index) => setText(tr.cells[index], text || (index === 3 ? "" : NONE)));
  const [x, width] = [after, one.seconds ?? 0].map((time) => (story.seconds ? (100 * time) / story.seconds : 0));
  // Attributes, since the content security policy allows no inline styles.
  const place = { x: Math.min(x, 99), y: 1, width: Math.max(1, Math.min(width, 100 - x)), height: 8 };
  const box = { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" };
  tr.cells[3].append(svg("svg", box, svg("rect", place)));
  if (one.state !== "ok") tr.classList.add(one.state);
  return tr;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search(String(new FormData(form).get("id")));
});
