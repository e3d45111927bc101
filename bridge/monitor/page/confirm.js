// The dialog that asks before something is done.

import { setText } from "./dom.js";

const at = (id) => document.getElementById(id);

/** Ask for confirmation; return whether the user agreed. */
export function confirmed(question, action, danger = false) {
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
