// Assigns colours of the palette (c0 … c9 in style.css) to processes and queues.

const COLOURS = 10;
const taken = new Map();

/** Return the class of a process's colour, which stays the same while the process lives. */
export function colourOf(name) {
  if (!taken.has(name)) {
    const used = new Set(taken.values());
    let number = 0;
    while (used.has(number) && number < COLOURS - 1) number += 1;
    // With more processes than colours, some share a colour.
    taken.set(name, used.has(number) ? taken.size % COLOURS : number);
  }
  return `c${taken.get(name)}`;
}

/** Free the colours of all processes but those present. */
export function forget(present) {
  for (const name of taken.keys()) if (!present.includes(name)) taken.delete(name);
}

/** Return the class of a queue's colour in the charts. */
export function colourOfQueue(index) {
  return `c${index % COLOURS}`;
}
