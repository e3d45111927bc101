// Dead letters: search, group, show, replay, purge. Message texts are loaded only on request.

import { confirmed } from "./confirm.js";
import { el, row, setText } from "./dom.js";
import { NONE, age, count, plural } from "./format.js";

const at = (id) => document.getElementById(id);
const [form, table, result, dialog] = [at("filter"), at("letters"), at("result"), at("letter")];
const causes = at("causes");
const LIMIT = 50;
let searched = null; // the filter of the latest search
let total = 0; // how many matched; null while they are counted
let grouped = false; // whether the latest search was by cause
let said = ""; // the latest progress
let opened = null; // the letter in the dialog

/** Show how many there are, and offer the known channels in the filter. */
export function showWaiting(snapshot) {
  const numbers = Object.entries(snapshot.dead).map(([flow, number]) => {
    const reading = snapshot.being_read.includes(flow) ? " (being read)" : "";
    return `${count(number)} ${flow}${reading}`;
  });
  setText(at("waiting"), numbers.join(", "));
  const channels = snapshot.flows.map((flow) => flow.channel).filter((name) => name);
  if (at("channels").children.length === channels.length) return;
  at("channels").replaceChildren(...channels.map((name) => el("option", { value: name })));
}

/** Call the monitor, and show its progress; show an error in place of the result and return null. */
async function ask(action, body) {
  document.body.classList.add("busy");
  const progress = setInterval(showProgress, 1000, result.textContent);
  at("stop-pass").hidden = action !== "replay" && action !== "purge";
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
    clearInterval(progress);
    at("stop-pass").hidden = true;
    document.body.classList.remove("busy");
  }
  return null;
}

/** Show how far a long pass has come, unless another sentence is shown by now. */
async function showProgress(before) {
  const known = [before, said];
  const answer = await fetch("api/dead/progress").catch(() => null);
  if (!answer?.ok) return;
  const { what, done, total: all } = await answer.json();
  if (done === all || !document.body.classList.contains("busy") || !known.includes(result.textContent)) return;
  said = `${what[0].toUpperCase()}${what.slice(1)}: ${count(done)} of ${count(all)} …`;
  setText(result, said);
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
  if (!found) return;
  [searched, grouped] = [filter, false];
  table.hidden = !found.letters.length;
  causes.hidden = true;
  table.tBodies[0].replaceChildren(...found.letters.map(letterRow));
  showTotal(found.total, found.letters.length);
  if (total !== null) return;
  const counted = await ask("count", { filter });
  if (counted && searched === filter && !grouped) showTotal(counted.total, found.letters.length);
}

function showTotal(number, shown) {
  total = number;
  at("replay-all").disabled = at("purge-all").disabled = !total;
  setText(at("replay-all"), total ? `Replay ${count(total)} …` : "Replay all …");
  setText(at("purge-all"), total ? `Purge ${count(total)} …` : "Purge all …");
  if (total === null) setText(result, `The first ${shown} are shown, the others are being counted …`);
  else if (!total) setText(result, "No dead letters found.");
  else setText(result, `${plural(total, "dead letter")}${total > shown ? `, the first ${shown} are shown` : ""}.`);
}

/** Show the dead letters that match as groups with the same cause. */
async function group(filter) {
  setText(result, "Reading all dead letters …");
  const found = await ask("causes", { filter });
  if (!found) return;
  [searched, grouped] = [filter, true];
  table.hidden = true;
  causes.hidden = !found.groups.length;
  causes.tBodies[0].replaceChildren(...found.groups.map((one) => causeRow(one, filter)));
  showTotal(found.groups.reduce((sum, one) => sum + one.letters, found.others), Infinity);
}

function causeRow(one, filter) {
  const tr = row(causes);
  const { letters, oldest, newest, flow, channel, reason, cause } = one;
  const ages = [oldest, newest].map((time) => (time ? age(Date.now() / 1000 - time) : NONE));
  [count(letters), ...ages, flow, channel, reason, cause].forEach((value, index) => {
    setText(tr.cells[index], String(value || NONE));
  });
  const these = { ...filter, flow, channel, reason, cause };
  tr.cells[7].append(
    button("Look", () => search(these)),
    button("Replay these …", () => replayAll(these, letters)),
    button("Purge these …", () => purgeAll(these, letters)),
  );
  tr.cells[7].classList.add("buttons");
  return tr;
}

function letterRow(letter) {
  const tr = row(table);
  const since = letter.last_at ? age(Date.now() / 1000 - letter.last_at) : NONE;
  const { flow, channel, conversation, reason, cause, attempts, id } = letter;
  [since, flow, channel, conversation, reason, cause, attempts, id].forEach((value, index) => {
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
  await report([`Replayed ${plural(done.replayed, "dead letter")}`, ...left(done), ...late, ...kept, ...unseen(done)]);
}

async function purged(filter, most) {
  setText(result, "Deleting …");
  const done = await ask("purge", { filter, most });
  if (done) await report([`Deleted ${plural(done.deleted, "dead letter")}`, ...(done.stopped ? ["stopped"] : []), ...unseen(done)]);
}

function left(done) {
  return done.left ? [`stopped: ${count(done.left)} left`] : [];
}

function unseen(done) {
  return done.unseen ? [`${done.unseen} not seen: another reader holds or removed them`] : [];
}

/** Search again, then show what was done. */
async function report(sentences) {
  if (searched) await (grouped ? group(searched) : search(searched));
  setText(result, `${sentences.join("; ")}.`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search(wanted());
});

async function replayAll(filter, number) {
  if (await confirmed(`Replay ${plural(number, "dead letter")}?`, "Replay")) await replayed(filter);
}

async function purgeAll(filter, number) {
  const question = `Permanently delete ${plural(number, "dead letter")}?`;
  if (await confirmed(question, "Delete", true)) await purged(filter, number);
}

at("by-cause").addEventListener("click", () => group(wanted()));
at("replay-all").addEventListener("click", () => replayAll(searched, total));
at("purge-all").addEventListener("click", () => purgeAll(searched, total));

at("stop-pass").addEventListener("click", () => fetch("api/dead/stop", { method: "POST", headers: { "Content-Type": "application/json" } }));

at("show-text").addEventListener("click", () => open(opened, true));
at("close-letter").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => dialog.querySelector("dl").replaceChildren());
