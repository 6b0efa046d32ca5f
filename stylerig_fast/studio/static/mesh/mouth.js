/** A lining behind the lips: the face model has a hole there, which would show the page's background. */

// Rings behind the lips: how far back in decimetres, and how much narrower than the lips.
const RINGS = [
  { back: 0.08, scale: 0.98 },
  { back: 0.22, scale: 0.9 },
];
const FLOOR = 0.34;

/** Extra rows behind the model's vertices that follow the lips. */
export class MouthLining {
  /**
   * @param {number[]|null} loop vertices around the opening; null: no lining
   * @param {number} firstRow where its rows start in the vertex array
   */
  constructor(loop, firstRow) {
    this.loop = loop ?? [];
    this.firstRow = firstRow;
    this.numVertices = this.loop.length ? RINGS.length * this.loop.length + 1 : 0;
    this.triangles = this.loop.length ? this.connect() : [];
  }

  connect() {
    const n = this.loop.length;
    const ring = (level, i) => (level < 0 ? this.loop[i % n] : this.firstRow + level * n + (i % n));
    const triangles = [];
    for (let level = 0; level < RINGS.length; level++) {
      for (let i = 0; i < n; i++) {
        triangles.push(ring(level - 1, i), ring(level - 1, i + 1), ring(level, i));
        triangles.push(ring(level - 1, i + 1), ring(level, i + 1), ring(level, i));
      }
    }
    const last = RINGS.length - 1;
    for (let i = 0; i < n; i++) triangles.push(ring(last, i), ring(last, i + 1), this.firstRow + RINGS.length * n);
    return triangles;
  }

  /** @returns {number[]} per row, how deep in the mouth: 0 at the lips, 1 at its end */
  depths() {
    const rings = RINGS.flatMap(({ back }) => Array(this.loop.length).fill(back / FLOOR));
    return this.loop.length ? [...rings, 1] : [];
  }

  /**
   * Writes the lining's rows for these lips.
   * @param {Float32Array} vertices the model's rows, then the lining's
   */
  follow(vertices) {
    const n = this.loop.length;
    if (!n) return;
    const centre = [0, 0, 0];
    for (const v of this.loop) for (let k = 0; k < 3; k++) centre[k] += vertices[3 * v + k] / n;
    let row = 3 * this.firstRow;
    for (const { back, scale } of RINGS) {
      for (const v of this.loop) {
        for (let k = 0; k < 3; k++) vertices[row++] = centre[k] + scale * (vertices[3 * v + k] - centre[k]);
        vertices[row - 1] -= back;
      }
    }
    vertices[row++] = centre[0];
    vertices[row++] = centre[1];
    vertices[row] = centre[2] - FLOOR;
  }
}
