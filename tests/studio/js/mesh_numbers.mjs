// What the page computes of the face model, as JSON: run by tests/studio/test_mesh_js.py.
// node mesh_numbers.mjs MODULES FACE_MODEL CASES

import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

const [modules, modelFile, casesFile] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${modules}/${name}`));
const { FaceModel } = await load('model.js');
const { vertexNormals } = await load('normals.js');
const { project, projectionMatrix } = await load('camera.js');
const { dominantDirection, shBasis } = await load('lighting.js');
const { degreesFromMatrix, matrixFromAxisAngle, matrixFromDegrees } = await load('rotation.js');
const { illuminationOf, placeOf, poseOf, rotationOf } = await load('params.js');
const { decodeHalf } = await load('safetensors.js');

const file = await readFile(modelFile);
const model = FaceModel.parse(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));
const { cases, rotations, directions, points, halves, focal } = JSON.parse(await readFile(casesFile, 'utf8'));

const faces = cases.map(({ person, request }) => {
  const vertices = model.deform(person, request);
  const normals = vertexNormals(vertices, model.triangles, new Float32Array(vertices.length));
  return {
    vertices: Array.from(vertices),
    normals: Array.from(normals),
    albedo: Array.from(model.colours(person)),
    landmarks: model.landmarks(vertices, focal),
    gamma: illuminationOf(person, request),
    light: dominantDirection(illuminationOf(person, request)),
    rotation: rotationOf(person, request),
    pose: poseOf(person, request),
    place: placeOf(person, request, focal),
  };
});

// One slider that moves: shape and normals again, as MeshView does.
const { person } = cases[0];
const out = new Float32Array(3 * model.numVertices);
const times = [];
for (let i = 0; i < 60; i++) {
  const start = performance.now();
  model.shape(person, { expression: { jawOpen: i / 60 } }, out);
  vertexNormals(out, model.triangles, new Float32Array(out.length));
  times.push(performance.now() - start);
}
times.sort((a, b) => a - b);

console.log(
  JSON.stringify({
    faces,
    matrices: rotations.map(matrixFromAxisAngle),
    degrees: rotations.map((rotation) => degreesFromMatrix(matrixFromAxisAngle(rotation))),
    again: rotations.map((rotation) => matrixFromDegrees(degreesFromMatrix(matrixFromAxisAngle(rotation)))),
    basis: directions.map((direction) => shBasis(...direction)),
    projected: points.map((point) => project(...point, focal)),
    clip: projectionMatrix(focal, 640, 480),
    halves: Array.from(decodeHalf(Uint16Array.from(halves)), (value) => String(value)),
    milliseconds: times[30],
  }),
);
