// Shows what /stream and /events tell. Where they stop, says so, and comes back by itself.

import { Cards } from "./cards.js";
import { Plane } from "./plane.js";
import { Tiles } from "./tiles.js";

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
const tiles = new Tiles(at("tiles"), at("tile"), choose);
let events = null;
let streams = 0;
let heard = 0;
let readAt = 0; // when the last frame came, and when the last one with a face
let seenAt = -Infinity;
let state = "";
let told = 0;
let about = null; // what the page was told when it connected
let chosen = null; // the source that is shown large
const states = new Map(); // of all sources

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
  let word = state === "open" && nobody ? "no face in sight" : WORDS[state] || state;
  const lost = [...states].filter(([name, one]) => name !== chosen && (one === "lost" || one === "stuck")).length;
  if (lost) word += ` · ${lost} other${lost > 1 ? "s" : ""} lost`;
  if (at("status").textContent !== word) at("status").textContent = word;
}

function tellNumbers(data) {
  at("fps").textContent = data.fps.toFixed(data.fps < 100 ? 1 : 0);
  const latency = data.latency_ms;
  at("latency").textContent = latency === null ? "–" : latency < 10 ? latency.toFixed(1) : Math.round(latency);
  at("dropped").textContent = data.dropped.toLocaleString("en");
}

// What is told of a source: all of them have a tile, one is shown large.
function hear(data) {
  heard = performance.now();
  states.set(data.source, data.state);
  tiles.tell(data.source, data.state, WORDS[data.state] || data.state);
  if (data.source !== chosen) return;
  show(data.state);
  if (heard - told > 250) {
    // Numbers that change with every frame cannot be read.
    told = heard;
    tellNumbers(data);
  }
}

function hello(event) {
  about = JSON.parse(event.data);
  const names = about.sources.map((one) => one.source);
  document.body.classList.toggle("several", names.length > 1);
  states.clear();
  tiles.setup(names);
  at("plane").parentElement.hidden = !about.affect;
  at("about").textContent = `${about.engine}${about.blur ? " · faces are hidden" : ""} · mien ${about.version}`;
  const wanted = names.find((name) => `#${encodeURIComponent(name)}` === location.hash);
  enlarge(names.includes(chosen) ? chosen : (wanted ?? names[0]));
  about.sources.forEach(hear);
  tiles.start();
}

function choose(name) {
  if (name === chosen) return;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  enlarge(name);
  show(states.get(name) || "connecting");
}

function enlarge(name) {
  if (name !== chosen) {
    // Until its stream comes, the tile's picture: never that of another source.
    picture.removeAttribute("src");
    keep(tiles.picture(name));
  }
  chosen = name;
  cards.setup(about.labels, about.colours);
  plane.clear();
  told = readAt = 0;
  seenAt = -Infinity;
  at("source").textContent = name;
  document.title = `mien · ${name}`;
  tiles.mark(name);
  openStream();
}

function read(event) {
  const data = JSON.parse(event.data);
  hear(data);
  if (data.source !== chosen) return;
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
  if (picture.naturalWidth && picture.hasAttribute("src")) keep(picture);
}

function keep(image) {
  const [width, height] = [image?.naturalWidth || 0, image?.naturalHeight || 0];
  if (still.width !== width) still.width = width;
  if (still.height !== height) still.height = height;
  if (width) still.getContext("2d").drawImage(image, 0, 0);
}

function openStream() {
  // A single source may be a path, which no address could hold.
  const path = about.sources.length > 1 ? `stream/${encodeURIComponent(chosen)}` : "stream";
  picture.src = `${path}?${++streams}`;
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
  events.addEventListener("beat", (event) => hear(JSON.parse(event.data)));
  events.addEventListener("error", () => {
    lose("gone");
    if (events && events.readyState === EventSource.CLOSED) again();
  });
}

function close() {
  tiles.stop();
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

if (location.search) history.replaceState(null, "", location.pathname + location.hash); // the token is in a cookie by now
show("connecting");
wake();
