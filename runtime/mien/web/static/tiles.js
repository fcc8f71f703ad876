// A small picture of each source, where there are several. A click makes it the large one.

const AT_ONCE = 3; // requests: a browser opens six connections to a server, and the page needs two others
const PAUSE = 150; // ms from one picture of a tile to the request for the next
const AGAIN = 1500; // ms after one that did not come

export class Tiles {
  constructor(list, template, choose) {
    this.list = list;
    this.template = template;
    this.choose = choose;
    this.tiles = new Map(); // name -> the parts of a tile
    this.run = 0;
    this.asked = 0;
  }

  setup(names) {
    this.list.hidden = names.length < 2;
    if ([...this.tiles.keys()].join("\n") === names.join("\n")) return;
    this.tiles.clear();
    this.list.replaceChildren();
    for (const name of this.list.hidden ? [] : names) {
      const root = this.template.content.cloneNode(true).firstElementChild;
      const part = (what) => root.querySelector(what);
      const tile = { name, root, button: part("button"), image: part("img"), word: part(".word"), due: 0, busy: false };
      part(".name").textContent = tile.button.title = name;
      tile.button.addEventListener("click", () => this.choose(name));
      this.tiles.set(name, tile);
      this.list.append(root);
    }
  }

  mark(chosen) {
    for (const [name, tile] of this.tiles) tile.button.setAttribute("aria-pressed", name === chosen);
  }

  picture(name) {
    return this.tiles.get(name)?.image;
  }

  tell(name, state, word) {
    const tile = this.tiles.get(name);
    if (!tile || tile.root.dataset.state === state) return;
    tile.root.dataset.state = state;
    tile.word.textContent = state === "open" ? "" : word;
    tile.due = 0;
  }

  start() {
    const run = ++this.run;
    for (let i = 0; i < AT_ONCE; i++) this.work(run);
  }

  stop() {
    this.run++;
  }

  async work(run) {
    while (run === this.run) {
      const now = performance.now();
      const ready = [...this.tiles.values()].filter((one) => !one.busy && one.root.dataset.state === "open" && one.due < now);
      if (ready.length) await this.load(ready.reduce((a, b) => (b.due < a.due ? b : a)));
      else await new Promise((done) => setTimeout(done, 60));
    }
  }

  async load(tile) {
    tile.busy = true;
    const next = new Image();
    next.alt = "";
    next.src = `tile/${encodeURIComponent(tile.name)}?${++this.asked}`;
    try {
      await next.decode();
      tile.image.replaceWith(next); // only now, so that the last picture stays where none comes
      tile.image = next;
      tile.due = performance.now() + PAUSE;
    } catch {
      tile.due = performance.now() + AGAIN;
    }
    tile.busy = false;
  }
}
