// Building and changing elements. Every text goes in as a text node, never as markup.

/** Return an element: attributes, then children; a child is a node or a text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Return an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Change a text only if it is another one: selections and screen readers stay calm. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setClass(node, text) {
  if (node.getAttribute("class") !== text) node.setAttribute("class", text);
}

/**
 * Make the children of `parent` those of `items`, in their order: nodes that exist are kept.
 * `key(item)` tells them apart, `make(item)` returns a new node, `update(node, item)` fills it.
 */
export function keyed(parent, items, key, make, update) {
  const known = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  items.forEach((item, index) => {
    const name = key(item);
    const node = known.get(name) ?? make(item);
    known.delete(name);
    node.dataset.key = name;
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
    update(node, item);
  });
  for (const node of known.values()) node.remove();
}

/** Return a table row whose cells carry the names of their columns, for narrow windows. */
export function row(table) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.firstChild.textContent.trim());
  const [first, ...others] = names;
  return el(
    "tr",
    {},
    el("th", { scope: "row", "data-name": first }),
    ...others.map((name) => el("td", { "data-name": name })),
  );
}
