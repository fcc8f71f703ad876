// The plane of valence and arousal, with a trail for each face.

const TRAIL = 3000; // ms

export class Plane {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.trails = new Map(); // key -> {name, points: [{at, v, a, color}]}
    this.asked = false;
    new ResizeObserver(() => this.ask()).observe(canvas);
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.ask());
  }

  add(key, name, valence, arousal, color) {
    if (!this.trails.has(key)) this.trails.set(key, { name, points: [] });
    const trail = this.trails.get(key);
    trail.name = name;
    trail.points.push({ at: performance.now(), v: valence, a: arousal, color });
    this.ask();
  }

  clear() {
    this.trails.clear();
    this.ask();
  }

  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  draw() {
    const { canvas, pen } = this;
    const side = canvas.clientWidth;
    if (!side) return;
    const pixels = Math.round(side * Math.min(devicePixelRatio || 1, 2));
    if (canvas.width !== pixels) canvas.width = canvas.height = pixels;
    pen.setTransform(pixels / side, 0, 0, pixels / side, 0, 0);
    pen.clearRect(0, 0, side, side);
    const style = getComputedStyle(canvas);
    const [line, soft, ink, back, edge] = ["--line", "--soft", "--ink", "--panel", "--edge"].map((name) =>
      style.getPropertyValue(name),
    );
    const middle = side / 2;
    const radius = side * 0.42;
    this.drawAxes(side, middle, radius, line, soft);
    const now = performance.now();
    for (const [key, trail] of this.trails) {
      trail.points = trail.points.filter((point) => now - point.at < TRAIL);
      if (!trail.points.length) this.trails.delete(key);
      else this.drawTrail(trail, now, (p) => [middle + radius * p.v, middle - radius * p.a], { ink, back, edge });
    }
    if (this.trails.size) this.ask();
  }

  drawAxes(side, middle, radius, line, soft) {
    const { pen } = this;
    pen.strokeStyle = line;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.arc(middle, middle, radius, 0, 2 * Math.PI);
    pen.stroke();
    pen.lineWidth = 1;
    pen.beginPath();
    pen.arc(middle, middle, radius / 2, 0, 2 * Math.PI);
    pen.moveTo(middle - radius, middle);
    pen.lineTo(middle + radius, middle);
    pen.moveTo(middle, middle - radius);
    pen.lineTo(middle, middle + radius);
    pen.stroke();
    pen.fillStyle = soft;
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText("excited", middle, (middle - radius) / 2 + 1);
    pen.fillText("calm", middle, side - (middle - radius) / 2);
    pen.textBaseline = "alphabetic";
    pen.textAlign = "left";
    pen.fillText("unpleasant", middle - radius + 8, middle + 15);
    pen.textAlign = "right";
    pen.fillText("pleasant", middle + radius - 8, middle + 15);
  }

  drawTrail(trail, now, place, { ink, back, edge }) {
    const { pen } = this;
    const points = trail.points;
    pen.lineCap = "butt";
    for (let i = 1; i < points.length; i++) {
      const age = 1 - (now - points[i].at) / TRAIL;
      pen.globalAlpha = 0.9 * age;
      pen.strokeStyle = points[i].color;
      pen.lineWidth = 1 + 3.5 * age;
      pen.beginPath();
      pen.moveTo(...place(points[i - 1]));
      pen.lineTo(...place(points[i]));
      pen.stroke();
      pen.strokeStyle = edge; // darker on white
      pen.stroke();
    }
    const last = points[points.length - 1];
    const [x, y] = place(last);
    pen.globalAlpha = Math.max(0, 1 - Math.max(0, now - last.at - 500) / (TRAIL - 500));
    pen.fillStyle = back;
    disc(pen, x, y, 12.5);
    pen.fillStyle = last.color;
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    disc(pen, x, y, 10);
    pen.stroke();
    pen.fillStyle = isDark(last.color) ? "#fff" : "#14161a";
    pen.font = `650 ${trail.name.length > 2 ? 9 : 12}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(trail.name, x, y + 0.5);
    pen.globalAlpha = 1;
  }
}

function disc(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

// Whether white letters are to stand on the color #rrggbb.
export function isDark(color) {
  const [red, green, blue] = [1, 3, 5].map((i) => (parseInt(color.slice(i, i + 2), 16) / 255) ** 2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.3;
}
