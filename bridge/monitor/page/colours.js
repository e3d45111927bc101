// Which of the palette's colours (c0 … c9 in style.css) a thing has, for as long as it is there.

const COLOURS = 10;
const taken = new Map();

/** Return the class of a process's colour: the first one that is free, so that it never changes. */
export function colourOf(name) {
  if (!taken.has(name)) {
    const used = new Set(taken.values());
    let number = 0;
    while (used.has(number) && number < COLOURS - 1) number += 1;
    // With more processes than colours some share one.
    taken.set(name, used.has(number) ? taken.size % COLOURS : number);
  }
  return `c${taken.get(name)}`;
}

/** Free the colours of all but these. */
export function forget(present) {
  for (const name of taken.keys()) if (!present.includes(name)) taken.delete(name);
}

/** Return the class of the colour of a queue in the charts. */
export function colourOfQueue(index) {
  return `c${index % COLOURS}`;
}
