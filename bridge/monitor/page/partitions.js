// Every partition as a cell: the colour is the process that consumes it, the shade its depth.

import { el, keyed, setClass, setText } from "./dom.js";
import { count, depthOf, nameOf, oldest, unackedText } from "./format.js";
import { colourOf } from "./colours.js";

const area = document.getElementById("partitions");
const detail = document.getElementById("partition");
let flows = [];
let chosen = null; // [name of the flow, number of the partition] described in `detail`

/** Show the partitions of every flow. */
export function showPartitions(snapshot) {
  flows = snapshot.flows;
  const make = () => el("div", { class: "block" }, el("h3"), el("div", { class: "cells", role: "group" }));
  keyed(area, flows, nameOf, make, (block, flow) => {
    setText(block.children[0], nameOf(flow));
    block.children[1].setAttribute("aria-label", `Partitions of ${nameOf(flow)}`);
    const cell = (partition) => el("button", { type: "button", tabindex: partition.number ? -1 : 0 });
    keyed(block.children[1], flow.partitions, (p) => String(p.number), cell, fill);
  });
  showDetail();
}

function fill(cell, partition) {
  const depth = depthOf(partition);
  const none = partition.depth_at_least ? "?" : partition.consumers ? "" : "!";
  setText(cell, depth ? short(depth) : none);
  setClass(cell, `cell ${holder(partition)} d${strength(depth)}`);
  const text = sentence(partition);
  if (cell.title !== text) {
    cell.title = text;
    cell.setAttribute("aria-label", text);
  }
}

function holder(partition) {
  if (!partition.consumers) return "alone";
  return partition.holder ? colourOf(partition.holder) : "none";
}

/** Return the shade 0 … 3: empty, under ten, under a hundred, more. */
function strength(depth) {
  return depth ? Math.min(3, 1 + Math.floor(Math.log10(depth))) : 0;
}

/** Return a depth in at most four characters, the width of a cell. */
function short(depth) {
  return depth < 1000 ? String(depth) : `${Math.round(depth / 1000)}k`;
}

function sentence(partition) {
  const number = String(partition.number).padStart(2, "0");
  const held = partition.unacked === null ? "" : `, ${unackedText(partition)} unacked`;
  const consumer = partition.consumers
    ? `consumed by ${partition.holder ?? "an unknown process"}`
    : "no consumer";
  const age = depthOf(partition) ? `; oldest ${oldest(partition)}` : "";
  return `${number}: ${count(partition.ready)} waiting${held}${age}; ${consumer}`;
}

function showDetail() {
  if (!chosen) return;
  const flow = flows.find((one) => nameOf(one) === chosen[0]);
  const partition = flow?.partitions.find((one) => String(one.number) === chosen[1]);
  if (partition) setText(detail, `${chosen[0]} ${sentence(partition)}`);
}

function choose(event) {
  const cell = event.target.closest(".cell");
  if (!cell) return;
  chosen = [cell.closest(".block").dataset.key, cell.dataset.key];
  showDetail();
}

for (const kind of ["mouseover", "focusin", "click"]) area.addEventListener(kind, choose);

area.addEventListener("keydown", (event) => {
  const cell = event.target.closest(".cell");
  const next = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
  const other = cell && next && cell[next];
  if (!other) return;
  cell.tabIndex = -1;
  other.tabIndex = 0;
  other.focus();
});
