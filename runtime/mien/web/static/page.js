// Shows what /stream and /events tell. Where they stop, says so, and comes back by itself.

import { Cards } from "./cards.js";
import { Plane } from "./plane.js";

const SILENT = 5000; // ms without an event (there is one a second at least) after which the connection counts as gone
const AGAIN = 1500; // ms between attempts
const NOBODY = 400; // ms without a face until the page says so

const VEILS = {
  connecting: ["Connecting", ""],
  waiting: ["Waiting for the first picture", "mien is getting ready"],
  lost: ["Camera lost", "mien is reconnecting to it"],
  stuck: ["The picture stands still", "the camera has sent nothing for a while"],
  ended: ["The source has ended", ""],
  gone: ["Connection to mien lost", "trying again"],
  busy: ["Too many viewers", "trying again"],
};
const WORDS = {
  open: "live", connecting: "connecting", waiting: "waiting", lost: "camera lost", stuck: "no picture", ended: "ended",
  gone: "not connected", busy: "busy",
};

const at = (id) => document.getElementById(id);
const picture = at("picture");
const still = at("still");
const plane = new Plane(at("plane"));
const cards = new Cards(at("cards"), at("more"), at("card"));
let events = null;
let streams = 0;
let heard = 0;
let readAt = 0; // when the last frame came, and when the last one with a face
let seenAt = -Infinity;
let state = "";
let told = 0;

function show(next) {
  if (next === state) return;
  state = next;
  document.body.dataset.state = next;
  const [title, text] = VEILS[next] || (next === "open" ? ["", ""] : [next, ""]);
  if (next !== "open") [at("veil").firstElementChild.textContent, at("veil").lastElementChild.textContent] = [title, text];
  tellStatus();
}

function tellStatus() {
  const nobody = readAt - seenAt > NOBODY; // told by frames: when none come, nobody has left
  document.body.classList.toggle("nobody", nobody);
  const word = state === "open" && nobody ? "no face in sight" : WORDS[state] || state;
  if (at("status").textContent !== word) at("status").textContent = word;
}

function tellNumbers(data) {
  at("fps").textContent = data.fps.toFixed(data.fps < 100 ? 1 : 0);
  const latency = data.latency_ms;
  at("latency").textContent = latency === null ? "–" : latency < 10 ? latency.toFixed(1) : Math.round(latency);
  at("dropped").textContent = data.dropped.toLocaleString("en");
}

function hear(event) {
  heard = performance.now();
  const data = JSON.parse(event.data);
  show(data.state);
  if (heard - told > 250) {
    // Numbers that change with every frame cannot be read.
    told = heard;
    tellNumbers(data);
  }
  return data;
}

function hello(event) {
  const data = hear(event);
  cards.setup(data.labels, data.colours);
  at("plane").parentElement.hidden = !data.affect;
  seenAt = -Infinity;
  at("source").textContent = data.source;
  at("about").textContent = `${data.engine}${data.blur ? " · faces are hidden" : ""} · mien ${data.version}`;
  document.title = `mien · ${data.source}`;
  openStream();
}

function read(event) {
  const data = hear(event);
  const shape = `${data.size[0]} / ${data.size[1]}`;
  at("frame").style.setProperty("--shape", shape);
  for (const face of data.faces) {
    if (face.valence === null) continue; // the model never learned it
    const name = String(face.track ?? face.face + 1);
    const key = face.track ?? `n${face.face}`;
    plane.add(key, name, face.valence, face.arousal, cards.color(face.expression));
  }
  readAt = heard;
  if (data.faces.length) seenAt = heard;
  cards.show(data.faces, heard);
  tellStatus();
}

// Browsers differ in what they leave of a stream that ended, so the last picture is kept below it.
function keepPicture() {
  if (!picture.naturalWidth || !picture.hasAttribute("src")) return;
  if (still.width !== picture.naturalWidth) still.width = picture.naturalWidth;
  if (still.height !== picture.naturalHeight) still.height = picture.naturalHeight;
  still.getContext("2d").drawImage(picture, 0, 0);
}

function openStream() {
  picture.src = `stream?${++streams}`;
}

function closeStream() {
  keepPicture();
  picture.removeAttribute("src");
}

picture.addEventListener("error", () => {
  picture.removeAttribute("src");
  setTimeout(() => events && state !== "gone" && !picture.hasAttribute("src") && openStream(), AGAIN);
});

function open() {
  close();
  heard = performance.now();
  events = new EventSource("events");
  events.addEventListener("hello", hello);
  events.addEventListener("message", read);
  events.addEventListener("beat", hear);
  events.addEventListener("error", () => {
    lose("gone");
    if (events && events.readyState === EventSource.CLOSED) again();
  });
}

function close() {
  if (events) events.close();
  events = null;
}

function lose(why) {
  if (picture.hasAttribute("src")) closeStream();
  show(why);
}

// Asked when the browser gave up: the server is away, is full, or wants a token.
async function again() {
  close();
  await new Promise((done) => setTimeout(done, AGAIN));
  if (document.hidden) return;
  try {
    const answer = await fetch("./", { cache: "no-store" });
    if (answer.status === 401) location.reload();
    lose("busy");
    if (answer.ok) open();
    else again();
  } catch {
    lose("gone");
    again();
  }
}

setInterval(() => {
  tellStatus();
  keepPicture();
  if (events && performance.now() - heard > SILENT) {
    lose("gone");
    open();
  }
}, 200);
setInterval(() => at("plane").setAttribute("aria-label", cards.words()), 1000);

// A hidden page needs no pictures, and a browser opens only six connections to a server.
function wake() {
  if (document.hidden) {
    closeStream();
    close();
  } else if (!events) {
    open();
  }
}
document.addEventListener("visibilitychange", wake);
addEventListener("pagehide", () => {
  closeStream();
  close();
});
addEventListener("pageshow", (event) => event.persisted && wake());

if (location.search) history.replaceState(null, "", location.pathname); // the token is in a cookie by now
show("connecting");
wake();
