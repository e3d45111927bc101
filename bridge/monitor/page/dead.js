// Dead letters: search, show, replay, purge. Message texts are loaded only on request.

import { el, row, setText } from "./dom.js";
import { NONE, age, count, plural } from "./format.js";

const at = (id) => document.getElementById(id);
const [form, table, result, dialog] = [at("filter"), at("letters"), at("result"), at("letter")];
const LIMIT = 50;
let searched = null; // the filter of the latest search
let total = 0; // how many matched
let opened = null; // the letter in the dialog

/** Show how many there are, and offer the known channels in the filter. */
export function showWaiting(snapshot) {
  const numbers = Object.entries(snapshot.dead).map(([flow, number]) => `${count(number)} ${flow}`);
  setText(at("waiting"), numbers.join(", "));
  const channels = snapshot.flows.map((flow) => flow.channel).filter((name) => name);
  if (at("channels").children.length === channels.length) return;
  at("channels").replaceChildren(...channels.map((name) => el("option", { value: name })));
}

/** Call the monitor; show an error in place of the result and return null. */
async function ask(action, body) {
  document.body.classList.add("busy");
  try {
    const answer = await fetch(`api/dead/${action}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (answer.status === 401) location.reload();
    const found = await answer.json();
    if (answer.ok) return found;
    setText(result, found.error);
  } catch {
    setText(result, "The monitor did not answer.");
  } finally {
    document.body.classList.remove("busy");
  }
  return null;
}

function wanted() {
  return Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
}

/** Return the filter that matches one letter. */
function only({ flow, id, channel, conversation }) {
  return { flow, id, channel, conversation };
}

async function search(filter) {
  setText(result, "Searching …");
  const found = await ask("list", { filter, limit: LIMIT });
  if (!found) return false;
  searched = filter;
  total = found.total;
  table.hidden = !found.letters.length;
  table.tBodies[0].replaceChildren(...found.letters.map(letterRow));
  at("replay-all").disabled = at("purge-all").disabled = !total;
  setText(at("replay-all"), total ? `Replay ${count(total)} …` : "Replay all …");
  setText(at("purge-all"), total ? `Purge ${count(total)} …` : "Purge all …");
  const more = total > found.letters.length ? `, the first ${found.letters.length} are shown` : "";
  setText(result, total ? `${plural(total, "dead letter")}${more}.` : "No dead letters found.");
  return true;
}

function letterRow(letter) {
  const tr = row(table);
  const since = letter.last_at ? age(Date.now() / 1000 - letter.last_at) : NONE;
  const { flow, channel, conversation, reason, error, attempts, id } = letter;
  [since, flow, channel, conversation, reason, error, attempts, id].forEach((value, index) => {
    setText(tr.cells[index], String(value || NONE));
  });
  const show = button("Show", () => open(letter));
  const replay = button("Replay", () => replayed(only(letter)));
  tr.cells[8].append(show, replay);
  tr.cells[8].classList.add("buttons");
  return tr;
}

function button(name, act) {
  const node = el("button", { type: "button" }, name);
  node.addEventListener("click", act);
  return node;
}

async function open(letter, text = false) {
  const found = await ask("show", { filter: only(letter), text });
  if (!found) return;
  if (!found.letters.length) {
    setText(result, "This dead letter no longer exists. Search again.");
    return;
  }
  opened = letter;
  const facts = found.letters.flatMap((one) => Object.entries({ id: letter.id, ...one }));
  const known = facts.filter(([, value]) => value);
  dialog.querySelector("dl").replaceChildren(
    ...known.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
  at("show-text").disabled = text;
  if (!dialog.open) dialog.showModal();
}

async function replayed(filter) {
  setText(result, "Replaying …");
  const done = await ask("replay", { filter });
  if (!done) return;
  const kept = Object.entries(done.kept).map(([why, number]) => `${number} kept: ${why}`);
  const late = done.unanswered ? [`${done.unanswered} of them were requests whose client no longer waits`] : [];
  await report([`Replayed ${plural(done.replayed, "dead letter")}`, ...late, ...kept, ...unseen(done)]);
}

async function purged(filter, most) {
  setText(result, "Deleting …");
  const done = await ask("purge", { filter, most });
  if (done) await report([`Deleted ${plural(done.deleted, "dead letter")}`, ...unseen(done)]);
}

function unseen(done) {
  return done.unseen ? [`${done.unseen} not seen: another reader holds or removed them`] : [];
}

/** Search again, then show what was done. */
async function report(sentences) {
  await search(searched);
  setText(result, `${sentences.join("; ")}.`);
}

/** Ask for confirmation; return whether the user agreed. */
function confirmed(question, action, danger = false) {
  const asked = at("confirm");
  setText(at("question"), question);
  setText(at("do-it"), action);
  at("do-it").classList.toggle("danger", danger);
  asked.returnValue = "no";
  asked.showModal();
  return new Promise((resolve) => {
    asked.addEventListener("close", () => resolve(asked.returnValue === "yes"), { once: true });
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search(wanted());
});

at("replay-all").addEventListener("click", async () => {
  if (await confirmed(`Replay ${plural(total, "dead letter")}?`, "Replay")) await replayed(searched);
});

at("purge-all").addEventListener("click", async () => {
  const question = `Permanently delete ${plural(total, "dead letter")}?`;
  if (await confirmed(question, "Delete", true)) await purged(searched, total);
});

at("show-text").addEventListener("click", () => open(opened, true));
at("close-letter").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => dialog.querySelector("dl").replaceChildren());
