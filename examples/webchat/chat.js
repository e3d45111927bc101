// A client of Rasa's Socket.IO channel, without a library. Socket.IO over a WebSocket is text:
// "0…" opened, "40" connected, "2" ping, "3" pong, '42["event", data]' an event, and
// '421["event", data]' an event whose acknowledgement is '431[…]'.
const server = new URLSearchParams(location.search).get("server") ?? "ws://localhost:5005";
const messages = document.querySelector("#messages");
const state = document.querySelector("#state");
const unconfirmed = new Map(); // acknowledgement's number → what was said
let socket, isReady = false, next = 0, pause = 500;

function connect() {
  socket = new WebSocket(`${server}/socket.io/?EIO=4&transport=websocket`);
  socket.onmessage = ({data}) => receive(data);
  socket.onclose = () => {
    isReady = false;
    state.textContent = "connecting…";
    setTimeout(connect, pause);
    pause = Math.min(2 * pause, 5000);
  };
}

function receive(packet) {
  if (packet.startsWith("0")) socket.send("40");
  else if (packet === "2") socket.send("3");
  else if (packet.startsWith("40")) {
    // The same session after a reload or on a new connection: replies that waited arrive now.
    emit("session_request", {session_id: localStorage.getItem("session") ?? undefined});
  } else if (packet.startsWith("42")) heard(...JSON.parse(packet.slice(2)));
  else if (/^43\d+/.test(packet)) confirmed(packet);
}

function emit(event, data, number = "") {
  socket.send(`42${number}${JSON.stringify([event, data])}`);
}

function heard(event, data) {
  if (event === "session_confirm") {
    localStorage.setItem("session", data);
    isReady = true;
    pause = 500;
    state.textContent = "online";
    unconfirmed.forEach(say); // with the ids they had, so that none of them counts twice
  } else if (event === "bot_uttered") show(data);
}

function confirmed(packet) {
  const [, number, answer] = /^43(\d+)(.*)$/.exec(packet);
  const said = unconfirmed.get(Number(number));
  const error = JSON.parse(answer)[0];
  if (!said) return;
  if (error?.status === 503) setTimeout(() => say(said, Number(number)), 1000);
  else {
    unconfirmed.delete(Number(number));
    said.item.classList.remove("waiting");
    if (error) state.textContent = error.error;
  }
}

function say(said, number) {
  const {text, id} = said;
  const session_id = localStorage.getItem("session");
  if (isReady) emit("user_uttered", {message: text, session_id, message_id: id}, number);
}

function add(text, ...classes) {
  const item = document.createElement("li");
  item.classList.add(...classes);
  item.textContent = text ?? "";
  messages.append(item);
  item.scrollIntoView();
  return item;
}

function show({text, quick_replies = [], attachment}) {
  const item = add(text, "bot");
  if (attachment?.type === "image") {
    const image = document.createElement("img");
    image.src = attachment.payload.src;
    item.append(image);
  }
  for (const {title, payload} of quick_replies) {
    const button = document.createElement("button");
    button.textContent = title;
    button.onclick = () => send(payload, title);
    item.append(button);
  }
}

function send(text, shown = text) {
  const said = {text, id: String(Math.random()).slice(2), item: add(shown, "mine", "waiting")};
  unconfirmed.set(next, said);
  say(said, next++);
}

document.querySelector("#form").onsubmit = event => {
  event.preventDefault();
  const input = document.querySelector("#text");
  if (input.value.trim()) send(input.value);
  input.value = "";
};
connect();
