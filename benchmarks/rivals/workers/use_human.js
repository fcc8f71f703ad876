const fs = require('fs');
const { fileURLToPath } = require('url');
const { place, serve } = require('./loop.js');

// Its build for WASM reads models over the network only; here they are files of the package.
const { fetch } = globalThis;
globalThis.fetch = (url, ...more) => (String(url).startsWith('file:')
  ? Promise.resolve(new Response(fs.readFileSync(fileURLToPath(url))))
  : fetch(url, ...more));

const { Human } = require(`${place('@vladmandic/human')}/dist/human.node-wasm.js`);
const off = { enabled: false };

async function main() {
  const human = new Human({
    backend: 'wasm',
    wasmPath: `${place('@tensorflow/tfjs-backend-wasm')}/dist/`,
    modelBasePath: `file://${place('@vladmandic/human')}/models/`,
    cacheSensitivity: 0,
    filter: off,
    face: {
      enabled: true,
      detector: { maxDetected: 16, rotation: false, skipFrames: 0, skipTime: 0 },
      mesh: { enabled: true },
      iris: off,
      description: off,
      emotion: { enabled: true, minConfidence: 0, skipFrames: 0, skipTime: 0 },
    },
    body: off, hand: off, object: off, gesture: off, segmentation: off,
  });
  await human.load();
  await serve(async (rgb, height, width) => {
    const picture = human.tf.tensor3d(rgb, [height, width, 3], 'int32');
    const result = await human.detect(picture);
    human.tf.dispose(picture);
    if (result.error) throw new Error(result.error);
    return result.face.filter((face) => face.emotion).map(({ box: [x, y, w, h], emotion }) => ({
      box: [x, y, x + w, y + h],
      scores: Object.fromEntries(emotion.map(({ emotion: name, score }) => [name, score])),
    }));
  });
}

main().catch((error) => { console.error(error.message); process.exit(1); });
