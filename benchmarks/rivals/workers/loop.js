// What the JavaScript workers share: a picture for each line on stdin, its faces on stdout.
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const { createRequire } = require('module');

const folder = process.env.RIVAL;
const installed = createRequire(path.join(folder, 'package.json'));
const place = (name) => path.join(folder, 'node_modules', name);

// read: (rgb Uint8Array, height, width) -> [{ box: [x1, y1, x2, y2], scores: { name: score } }]
async function serve(read) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    const bgr = fs.readFileSync(asked.file);
    const start = process.hrtime.bigint();
    const rgb = new Uint8Array(bgr.length);
    for (let i = 0; i < bgr.length; i += 3) {
      rgb[i] = bgr[i + 2];
      rgb[i + 1] = bgr[i + 1];
      rgb[i + 2] = bgr[i];
    }
    const faces = await read(rgb, asked.height, asked.width);
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    fs.writeSync(1, `@@ ${JSON.stringify({ seconds, faces })}\n`);
  }
}

// Threads of TensorFlow.js' WASM backend are its own default unless RIVAL_THREADS says how many.
function prepare(wasm) {
  wasm.setWasmPaths(`${place('@tensorflow/tfjs-backend-wasm')}/dist/`);
  if (process.env.RIVAL_THREADS) wasm.setThreadsCount(Number(process.env.RIVAL_THREADS));
}

module.exports = { installed, place, prepare, serve };
