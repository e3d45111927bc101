// Creates and updates elements. Texts are inserted as text nodes, never as markup.

/** Return a new element; each child is a node or a text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Return a new SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Set a text only if it differs, to keep selections and spare screen readers. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setClass(node, text) {
  if (node.getAttribute("class") !== text) node.setAttribute("class", text);
}

/**
 * Give `parent` one child per item, in order, reusing existing nodes. `key(item)` identifies an
 * item, `make(item)` returns a new node, `update(node, item)` fills it.
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

/** Return a table row whose cells carry their column names, which narrow windows show. */
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
