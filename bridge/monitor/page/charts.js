// One chart over time: lines and bands in SVG, and the values under the pointer.

import { el, keyed, setClass, setText, svg } from "./dom.js";
import { clock } from "./format.js";

export const SPANS = [180, 360, 900]; // seconds on the time axis: the smallest span that fits all points
const GAP = 7; // seconds without a point that break a line
const NEAR = 5; // seconds from the pointer within which an event is named
const HEIGHT = 150;
const LEFT = 46;
const BOTTOM = 18;
const TOP = 6;
const RIGHT = 6;
const STEPS = 3;

/**
 * A line is {name, colour, values, dashed?, band?}: `values` are [time, number or null] in order of
 * time, `band` are [time, low, high]; `colour` is a class in style.css.
 */
export class Chart {
  /** `format` returns the text of a value on the vertical axis. */
  constructor(title, format) {
    this.format = format;
    this.title = title;
    this.lines = [];
    this.marks = [];
    this.end = 0;
    this.span = SPANS[0];
    this.cursor = null; // time under the pointer
    this.latest = el("output");
    this.drawing = svg("svg", { height: HEIGHT, role: "img" });
    this.reading = el("div", { class: "reading", hidden: "" }, el("p"), el("ul"));
    const stage = el("div", { class: "stage", tabindex: 0, role: "group", "aria-label": title }, this.drawing, this.reading);
    this.node = el("figure", {}, el("figcaption", {}, el("span", {}, title), this.latest), stage);
    stage.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    stage.addEventListener("pointerleave", () => this.#read(null));
    stage.addEventListener("blur", () => this.#read(null));
    stage.addEventListener("keydown", (event) => this.#step({ ArrowLeft: -1, ArrowRight: 1 }[event.key]));
    new ResizeObserver(([entry]) => this.#resize(Math.floor(entry.contentRect.width))).observe(stage);
  }

  /** Draw lines from time `start` to `end`; `latest` is the current value as text. `marks` are {at, text, bad}. */
  draw(lines, start, end, latest, marks) {
    this.lines = lines;
    this.marks = marks;
    this.end = end;
    this.span = SPANS.find((span) => span >= end - start) ?? SPANS.at(-1);
    setText(this.latest, latest);
    this.drawing.setAttribute("aria-label", `${this.title}: ${latest}`);
    this.#redraw();
  }

  #resize(width) {
    if (width === this.width) return;
    this.width = width;
    this.drawing.setAttribute("width", width);
    this.#redraw();
  }

  #x(time) {
    return LEFT + (1 - (this.end - time) / this.span) * (this.width - LEFT - RIGHT);
  }

  #y(value) {
    return TOP + (1 - value / this.top) * (HEIGHT - TOP - BOTTOM);
  }

  #redraw() {
    if (!this.width || !this.end) return;
    this.top = roundUp(highest(this.lines));
    this.drawing.replaceChildren(...this.#axes(), ...this.#events(), ...this.lines.flatMap((line) => this.#shapes(line)));
    this.#read(this.cursor);
  }

  *#axes() {
    for (let step = 0; step <= STEPS; step += 1) {
      const value = (this.top * step) / STEPS;
      const y = Math.round(this.#y(value)) + 0.5;
      yield svg("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y });
      yield svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, this.format(value));
    }
    for (const [part, anchor] of [[1, "start"], [2 / 3, "middle"], [1 / 3, "middle"], [0, "end"]]) {
      const x = this.#x(this.end - part * this.span);
      const text = part ? `${Math.round((part * this.span) / 60)} min` : "now";
      yield svg("text", { x, y: HEIGHT - 4, "text-anchor": anchor }, text);
    }
  }

  *#events() {
    for (const { at, bad } of this.marks) {
      if (at < this.end - this.span || at > this.end) continue;
      const x = this.#x(at);
      yield svg("line", { class: bad ? "mark bad" : "mark", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM });
    }
  }

  #shapes({ colour, values, dashed, band }) {
    const line = svg("path", { class: `line ${colour}${dashed ? " dashed" : ""}`, d: this.#path(values) });
    return band ? [svg("path", { class: `band ${colour}`, d: this.#area(band) }), line] : [line];
  }

  #path(values) {
    return runs(values).map((run) => `M${this.#along(run, 1)}${run.length > 1 ? "" : "h1"}`).join("");
  }

  #area(band) {
    return runs(band).map((run) => `M${this.#along(run, 2)}L${this.#along([...run].reverse(), 1)}Z`).join("");
  }

  #along(points, column) {
    return points.map((p) => `${this.#x(p[0]).toFixed(1)} ${this.#y(p[column]).toFixed(1)}`).join("L");
  }

  #point(x) {
    this.#read(this.end - (1 - (x - LEFT) / (this.width - LEFT - RIGHT)) * this.span);
  }

  #step(direction) {
    if (direction) this.#read((this.cursor ?? this.end) + direction * 10);
  }

  /** Show the values at a time; null hides them. */
  #read(time) {
    this.drawing.querySelector(".cursor")?.remove();
    const values = time === null ? [] : this.lines.map((line) => [line, valueAt(line.values, time)]);
    const found = values.filter(([, point]) => point);
    this.cursor = found.length ? time : null;
    this.reading.hidden = !found.length;
    if (!found.length) return;
    const at = found[0][1][0];
    const x = this.#x(at);
    this.drawing.append(svg("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
    const near = this.marks.filter((mark) => Math.abs(mark.at - at) <= NEAR).map((mark) => mark.text);
    setText(this.reading.children[0], [clock(at), ...new Set(near)].join("; "));
    setClass(this.reading, x > this.width / 2 ? "reading left" : "reading right");
    found.sort((one, other) => other[1][1] - one[1][1]);
    const make = () => el("li", {}, el("span", { class: "swatch" }), el("span"), el("b"));
    keyed(this.reading.children[1], found, ([line]) => line.name, make, (node, [line, point]) => {
      setClass(node.children[0], `swatch ${line.colour}`);
      setText(node.children[1], line.name);
      setText(node.children[2], line.read?.(point) ?? this.format(point[1]));
    });
  }
}

/** Split points at nulls and gaps. */
function runs(points) {
  const found = [];
  let run = null;
  for (const point of points) {
    if (point[1] === null) run = null;
    else if (run && point[0] - run.at(-1)[0] <= GAP) run.push(point);
    else found.push((run = [point]));
  }
  return found;
}

/** Return the point nearest to a time, null if there is none within `GAP`. */
function valueAt(values, time) {
  const distance = (point) => Math.abs(point[0] - time);
  const nearest = values.reduce((best, p) => (best && distance(best) <= distance(p) ? best : p), null);
  return nearest && nearest[1] !== null && distance(nearest) <= GAP ? nearest : null;
}

function highest(lines) {
  const numbers = lines.flatMap(({ values, band }) => (band ?? values).map((point) => point.at(-1)));
  return numbers.reduce((most, number) => Math.max(most, number ?? 0), 0);
}

/** Round up to a number with round thirds: 3, 6, 15 or 30 times a power of ten. */
function roundUp(value) {
  if (!value) return STEPS;
  const power = 10 ** Math.floor(Math.log10(value / 3));
  return [3, 6, 15, 30].find((factor) => factor * power >= value) * power;
}
