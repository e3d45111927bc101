// Buttons that pause or resume a flow, or probe its service.

import { confirmed } from "./confirm.js";
import { el, keyed, setText } from "./dom.js";
import { nameOf } from "./format.js";

const NAMES = { try: "Try now", pause: "Pause …", resume: "Resume" };
const DONE = {
  try: "The service is probed within two seconds.",
  pause: "Paused: nothing new starts within two seconds.",
  resume: "Resumed.",
};

const result = document.getElementById("flow-result");

/** Show a button for each action on a flow, inside `node`. */
export function showActions(node, flow, actions) {
  const make = (action) => {
    const label = `${NAMES[action].replace(" …", "")} ${nameOf(flow)}`;
    const button = el("button", { type: "button", "aria-label": label }, NAMES[action]);
    button.addEventListener("click", () => act(flow, action));
    return button;
  };
  keyed(node, actions, (action) => action, make, () => {});
}

async function act({ flow, channel }, action) {
  const name = nameOf({ flow, channel });
  const wait = flow === "inbound" ? "Webhooks go on accepting messages, which wait" : "Replies wait";
  if (action === "pause" && !(await confirmed(`Pause ${name}? ${wait} in RabbitMQ until you resume it.`, "Pause"))) return;
  setText(result, `${name}: …`);
  const problem = await send({ flow, channel, action });
  setText(result, `${name}: ${problem ?? DONE[action]}`);
}

/** Return what went wrong, or null. */
async function send(command) {
  try {
    const answer = await fetch("api/flow", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(command),
    });
    if (answer.status === 401) location.reload();
    return answer.ok ? null : (await answer.json()).error;
  } catch {
    return "the monitor did not answer";
  }
}
