// Formats numbers as `rasa-bridge status` does.

export const UNKNOWN = "?";
export const NONE = "–";

/** Return a duration given in seconds: 8 ms, 1.4 s, 10m, 3h. */
export function seconds(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  return age(value);
}

/** Return an age in its largest unit. */
export function age(value) {
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["m", 60]]) {
    if (value >= length) return `${Math.floor(value / length)}${unit}`;
  }
  return `${Math.max(0, Math.floor(value))}s`;
}

/** Return a rate per second. */
export function rate(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1);
}

/** Return a part of a whole as a percentage; only the whole is 100 %. */
export function share(part, whole) {
  const percent = Math.floor((1000 * part) / whole) / 10;
  return `${percent.toFixed(percent === 100 ? 0 : 1)} %`;
}

export function count(value) {
  return value === null || value === undefined ? UNKNOWN : value.toLocaleString("en");
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function clock(unixTime) {
  return new Date(unixTime * 1000).toLocaleTimeString("en-GB");
}

/** Return the name of a flow: `inbound`, or `replies slack`. */
export function nameOf(flow) {
  return flow.channel ? `${flow.flow} ${flow.channel}` : flow.flow;
}

/** Return the number of messages waiting or in flight. */
export function depthOf(queue) {
  return queue.ready + (queue.unacked ?? 0);
}

/** Return a flow's depth as text: `12`, `≥ 12`, or `?` if nothing is known. */
export function depthText(flow) {
  return lowerBound(depthOf(flow), flow.depth_at_least);
}

export function unackedText(flow) {
  return flow.unacked === null ? UNKNOWN : lowerBound(flow.unacked, flow.depth_at_least);
}

/** Return the depth of all flows together as text. */
export function totalDepth(flows) {
  return lowerBound(flows.reduce((sum, flow) => sum + depthOf(flow), 0), flows.some((flow) => flow.depth_at_least));
}

function lowerBound(number, isLowerBound) {
  if (!isLowerBound) return count(number);
  return number ? `≥ ${count(number)}` : UNKNOWN;
}

export function oldest(queue) {
  if (queue.oldest_age === null) return UNKNOWN;
  if (!queue.oldest_age) return NONE;
  return (queue.at_least ? "≥ " : "") + seconds(queue.oldest_age);
}

/** Return the oldest age of all flows; if one is unknown, it is a lower bound. */
export function oldestOf(flows) {
  const known = flows.filter((flow) => flow.oldest_age !== null);
  const at_least = known.length < flows.length || known.some((flow) => flow.at_least);
  const age = Math.max(0, ...known.map((flow) => flow.oldest_age));
  return known.length === flows.length || age ? oldest({ oldest_age: age, at_least }) : UNKNOWN;
}
