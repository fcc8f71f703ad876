const { installed, place, prepare, serve } = require('./loop.js');

const tf = installed('@tensorflow/tfjs');
prepare(installed('@tensorflow/tfjs-backend-wasm'));
const faceapi = installed('@vladmandic/face-api/dist/face-api.node-wasm.js');

async function main() {
  await tf.setBackend('wasm');
  await tf.ready();
  const models = `${place('@vladmandic/face-api')}/model`;
  for (const net of ['ssdMobilenetv1', 'faceLandmark68Net', 'faceExpressionNet']) {
    await faceapi.nets[net].loadFromDisk(models);
  }
  const options = new faceapi.SsdMobilenetv1Options();
  await serve(async (rgb, height, width) => {
    const picture = tf.tensor3d(rgb, [height, width, 3], 'int32');
    const found = await faceapi.detectAllFaces(picture, options).withFaceLandmarks().withFaceExpressions();
    tf.dispose(picture);
    return found.map(({ detection: { box }, expressions }) => ({
      box: [box.x, box.y, box.x + box.width, box.y + box.height],
      scores: { ...expressions },
    }));
  });
}

main().catch((error) => { console.error(error.message); process.exit(1); });
