// A card for each face: who, what, how sure, and the probability of every class.

import { isDark } from "./plane.js";

const MOST = 12; // cards at the same time
const STAY = 800; // ms of frames without its face for which a card stays, dimmed
const OTHER = "#e2e2e2";

export class Cards {
  constructor(list, more, template) {
    this.list = list;
    this.more = more;
    this.template = template;
    this.cards = new Map(); // key -> the parts of a card
    this.labels = [];
    this.colors = {};
  }

  setup(labels, colors) {
    this.labels = labels;
    this.colors = colors;
    this.cards.clear();
    this.list.replaceChildren();
  }

  color(label) {
    return this.colors[label] || OTHER;
  }

  show(faces, now) {
    for (const face of faces.slice(0, MOST)) {
      const key = face.track ?? `n${face.face}`;
      if (!this.cards.has(key)) this.cards.set(key, this.make(face));
      this.fill(this.cards.get(key), face, now);
    }
    const left = faces.length - MOST;
    this.more.hidden = left <= 0;
    if (left > 0) this.more.textContent = `and ${left} more`;
    this.tidy(now);
  }

  tidy(now) {
    for (const [key, card] of this.cards) {
      const away = now - card.at;
      card.root.classList.toggle("away", away > STAY / 4);
      if (away > STAY) {
        card.root.remove();
        this.cards.delete(key);
      }
    }
  }

  make(face) {
    const root = this.template.content.cloneNode(true).firstElementChild;
    const part = (name) => root.querySelector(`.${name}`);
    const card = { root, bars: new Map() };
    for (const name of ["id", "label", "confidence", "affect", "valence", "arousal"]) card[name] = part(name);
    card.id.textContent = face.track ?? face.face + 1;
    part("bars").style.setProperty("--rows", this.labels.length);
    part("bars").style.setProperty("--half", Math.ceil(this.labels.length / 2));
    // Learned expressions may have long names.
    const longest = Math.max(...this.labels.map((label) => label.length));
    if (longest > 10) part("bars").style.setProperty("--name", `min(${longest}ch, 45%)`);
    for (const label of this.labels) {
      const row = document.createElement("li");
      const [name, bar, value] = ["span", "i", "span"].map((tag) => row.appendChild(document.createElement(tag)));
      name.textContent = name.title = label;
      bar.style.setProperty("--color", this.color(label));
      part("bars").append(row);
      card.bars.set(label, { row, bar, value });
    }
    this.list.append(root);
    return card;
  }

  fill(card, face, now) {
    card.at = now;
    const felt = face.valence !== null; // null where the model never learned it
    card.words = `face ${card.id.textContent}: ${face.expression}`;
    if (felt) card.words += `, valence ${signed(face.valence)}, arousal ${signed(face.arousal)}`;
    const color = this.color(face.expression);
    card.root.style.setProperty("--color", color);
    card.id.classList.toggle("light", isDark(color));
    write(card.label, face.expression);
    write(card.confidence, percent(face.confidence));
    card.affect.hidden = !felt;
    if (felt) {
      write(card.valence, signed(face.valence));
      write(card.arousal, signed(face.arousal));
    }
    for (const [label, { row, bar, value }] of card.bars) {
      const share = face.probabilities[label] ?? 0;
      bar.style.setProperty("--p", share.toFixed(3));
      row.classList.toggle("top", label === face.expression);
      write(value, percent(share));
    }
  }

  // What the plane shows, for those who do not see it.
  words() {
    return [...this.cards.values()].map((card) => card.words).join("; ") || "No face in sight";
  }
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const percent = (share) => `${Math.round(100 * share)} %`;
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
