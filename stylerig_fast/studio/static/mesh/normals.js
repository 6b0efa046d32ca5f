/** Unit vertex normals, the same as the `vertex_normals` op. */

// Sums shorter than this (square decimetres) have no direction worth the name.
const DEGENERATE = 1e-12;

/**
 * Area-weighted mean normals.
 * @param {Float32Array} vertices (V, 3), may have more rows behind those that triangles name
 * @param {Int32Array|Uint32Array} triangles (T, 3)
 * @param {Float32Array} out (V, 3), written
 * @returns {Float32Array} out
 */
export function vertexNormals(vertices, triangles, out) {
  out.fill(0);
  for (let t = 0; t < triangles.length; t += 3) {
    const a = 3 * triangles[t];
    const b = 3 * triangles[t + 1];
    const c = 3 * triangles[t + 2];
    const ax = vertices[a];
    const ay = vertices[a + 1];
    const az = vertices[a + 2];
    const ux = vertices[b] - ax;
    const uy = vertices[b + 1] - ay;
    const uz = vertices[b + 2] - az;
    const vx = vertices[c] - ax;
    const vy = vertices[c + 1] - ay;
    const vz = vertices[c + 2] - az;
    const nx = uy * vz - uz * vy;
    const ny = uz * vx - ux * vz;
    const nz = ux * vy - uy * vx;
    out[a] += nx;
    out[a + 1] += ny;
    out[a + 2] += nz;
    out[b] += nx;
    out[b + 1] += ny;
    out[b + 2] += nz;
    out[c] += nx;
    out[c + 1] += ny;
    out[c + 2] += nz;
  }
  for (let i = 0; i < out.length; i += 3) {
    const length = Math.sqrt(out[i] * out[i] + out[i + 1] * out[i + 1] + out[i + 2] * out[i + 2]);
    const scale = length > DEGENERATE ? 1 / length : 0;
    out[i] *= scale;
    out[i + 1] *= scale;
    out[i + 2] *= scale;
  }
  return out;
}
