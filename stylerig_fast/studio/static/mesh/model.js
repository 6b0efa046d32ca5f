/** The linear 3D face model: stylerig_fast/face/model.py and the `morphable` op in the browser. */

import { FFHQ_FOCAL, project } from './camera.js';
import { expressionOf, rotationOf } from './params.js';
import { readSafetensors } from './safetensors.js';

const TENSORS = ['mean', 'identity', 'expression', 'albedo_mean', 'albedo', 'triangles', 'landmarks'];

/**
 * Fetches and parses a face model.
 * @param {string} url of a safetensors file (GET /api/face-model)
 * @param {RequestInit} [options] of fetch
 * @returns {Promise<FaceModel>}
 */
export async function loadFaceModel(url, options) {
  const response = await fetch(url, options);
  if (!response.ok) throw new Error(`face model: the server answered ${response.status} ${response.statusText}`);
  return FaceModel.parse(await response.arrayBuffer());
}

/**
 * target + sum_k coefficients[k] basis[k]; four components per pass over the target, zeros skipped.
 * @param {Float32Array} target changed in place
 * @param {Float32Array} basis (K, target.length)
 * @param {ArrayLike<number>} coefficients K
 */
export function addComponents(target, basis, coefficients) {
  const size = target.length;
  const used = [];
  for (let k = 0; k < coefficients.length; k++) if (coefficients[k] !== 0) used.push(k);
  let next = 0;
  for (; next + 4 <= used.length; next += 4) {
    const [k0, k1, k2, k3] = used.slice(next, next + 4);
    const rows = [k0, k1, k2, k3].map((k) => basis.subarray(k * size, (k + 1) * size));
    addFour(target, rows[0], rows[1], rows[2], rows[3], coefficients[k0], coefficients[k1], coefficients[k2],
      coefficients[k3]);
  }
  for (; next < used.length; next++) {
    const row = basis.subarray(used[next] * size, (used[next] + 1) * size);
    const c = coefficients[used[next]];
    for (let i = 0; i < size; i++) target[i] += c * row[i];
  }
}

function addFour(target, r0, r1, r2, r3, c0, c1, c2, c3) {
  for (let i = 0; i < target.length; i++) target[i] += c0 * r0[i] + c1 * r1[i] + (c2 * r2[i] + c3 * r3[i]);
}

/** A linear 3D morphable model in decimetres, y up, face toward +z. */
export class FaceModel {
  /**
   * @param {ArrayBuffer} buffer a safetensors file with the tensors of GET /api/face-model
   * @returns {FaceModel}
   */
  static parse(buffer) {
    const { tensors, metadata } = readSafetensors(buffer, TENSORS);
    return new FaceModel(tensors, JSON.parse(metadata.expression_names ?? '[]'));
  }

  /**
   * @param {Object<string, import('./safetensors.js').Tensor>} tensors
   * @param {string[]} expressionNames
   */
  constructor(tensors, expressionNames) {
    this.numVertices = tensors.mean.shape[0];
    this.mean = tensors.mean.data;
    this.identity = tensors.identity.data;
    this.expression = tensors.expression.data;
    this.albedoMean = tensors.albedo_mean.data;
    this.albedo = tensors.albedo.data;
    this.triangles = tensors.triangles.data;
    this.landmarkVertices = tensors.landmarks.data;
    this.expressionNames = expressionNames;
    if (expressionNames.length !== tensors.expression.shape[0]) {
      throw new Error(`face model: ${tensors.expression.shape[0]} expressions, but ${expressionNames.length} names`);
    }
    // A person's resting face and colours are asked for at every change of a slider: kept as long as the person is.
    this.neutralOf = new WeakMap();
    this.coloursOf = new WeakMap();
  }

  /**
   * The person's face at rest, not turned.
   * @returns {Float32Array} (V, 3) decimetres, the model's own: do not write
   */
  neutral(person) {
    return kept(this.neutralOf, person.params, () => {
      const vertices = this.mean.slice();
      addComponents(vertices, this.identity, person.params.identity);
      return vertices;
    });
  }

  /**
   * The person's skin.
   * @returns {Float32Array} (V, 3) RGB, not clamped, the model's own: do not write
   */
  colours(person) {
    return kept(this.coloursOf, person.params, () => {
      const colours = this.albedoMean.slice();
      addComponents(colours, this.albedo, person.params.albedo);
      return colours;
    });
  }

  /**
   * The face with its expression, not turned.
   * @param {Float32Array} [out] (V, 3), written; a new one without
   * @returns {Float32Array} out
   */
  shape(person, request, out = new Float32Array(this.mean.length)) {
    out.set(this.neutral(person));
    addComponents(out, this.expression, expressionOf(person, request, this.expressionNames));
    return out;
  }

  /**
   * The face with expression and pose in camera space: the vertices of Engine.mesh.
   * @param {Float32Array} [out] (V, 3), written; a new one without
   * @returns {Float32Array} out
   */
  deform(person, request, out) {
    const vertices = this.shape(person, request, out);
    const r = rotationOf(person, request);
    const t = person.params.translation;
    for (let i = 0; i < vertices.length; i += 3) {
      const x = vertices[i];
      const y = vertices[i + 1];
      const z = vertices[i + 2];
      vertices[i] = r[0] * x + r[1] * y + r[2] * z + t[0];
      vertices[i + 1] = r[3] * x + r[4] * y + r[5] * z + t[1];
      vertices[i + 2] = r[6] * x + r[7] * y + r[8] * z + t[2];
    }
    return vertices;
  }

  /**
   * @param {Float32Array} vertices (V, 3) camera space, of `deform`
   * @returns {[number, number][]} 68 points in image widths from the top-left corner
   */
  landmarks(vertices, focal = FFHQ_FOCAL) {
    return Array.from(this.landmarkVertices, (v) =>
      project(vertices[3 * v], vertices[3 * v + 1], vertices[3 * v + 2], focal));
  }
}

function kept(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}
