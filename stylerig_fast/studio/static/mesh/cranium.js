/**
 * The rest of the head: the face model ends at the hairline and behind the ears. A skull is drawn on from there, so
 * that the face reads as a head. It belongs to the picture alone, not to the model.
 */

// An ellipsoid that the open face model's mean continues into; decimetres.
const CENTRE = [0, 0.3, -0.12];
const RADII = [0.78, 0.93, 1.0];
const BACK = [0, -0.1, -Math.sqrt(0.99)]; // where its meridians meet, on the unit sphere

// Where the rings lie on the way from the rim (0) to the back (1).
const RINGS = [0.03, 0.08, 0.14, 0.21, 0.29, 0.38, 0.47, 0.56, 0.65, 0.74, 0.83, 0.92];
// It dissolves between these heights of the rim: there is no nape below.
const [NAPE, EARS] = [-0.42, -0.08];

const smoothstep = (low, high, x) => {
  const t = Math.min(1, Math.max(0, (x - low) / (high - low)));
  return t * t * (3 - 2 * t);
};

/** Extra rows that continue the rim of the mesh. */
export class Cranium {
  /**
   * @param {number[]} rim vertices of the outer loop, in the order of its triangles' edges
   * @param {Float32Array} points (V, 3) the mean face
   * @param {number} firstRow where its rows start in the vertex array
   */
  constructor(rim, points, firstRow) {
    this.rim = fits(rim, points) ? rim : [];
    this.firstRow = firstRow;
    this.numVertices = this.rim.length ? RINGS.length * this.rim.length + 1 : 0;
    this.rimOpacity = this.rim.map((v) => smoothstep(NAPE, EARS, points[3 * v + 1]));
    this.triangles = this.rim.length ? this.connect() : [];
  }

  connect() {
    const n = this.rim.length;
    const pole = this.firstRow + RINGS.length * n;
    const row = (level, i) => (level < 0 ? this.rim[i % n] : this.firstRow + level * n + (i % n));
    const triangles = [];
    for (let i = 0; i < n; i++) {
      // What is dissolved altogether is not drawn.
      if (!this.rimOpacity[i] && !this.rimOpacity[(i + 1) % n]) continue;
      for (let level = 0; level < RINGS.length; level++) {
        triangles.push(row(level - 1, i + 1), row(level - 1, i), row(level, i));
        triangles.push(row(level - 1, i + 1), row(level, i), row(level, i + 1));
      }
      triangles.push(row(RINGS.length - 1, i + 1), row(RINGS.length - 1, i), pole);
    }
    return triangles;
  }

  /** @returns {number[]} opacity of its rows */
  opacities() {
    return this.rim.length ? [...RINGS.flatMap(() => this.rimOpacity), 1] : [];
  }

  /** @returns {number[]} how far its rows are from the face, 0 at the rim to 1 at the back, as `depth` below zero */
  depths() {
    return this.rim.length ? [...RINGS.flatMap((t) => this.rim.map(() => -t)), -1] : [];
  }

  /** Rim vertices where the face ends and no skull goes on. */
  openRim(rim) {
    return this.rim.length ? this.rim.filter((_, i) => this.rimOpacity[i] < 0.5) : rim;
  }

  /**
   * Writes its rows for this face.
   * @param {Float32Array} vertices the model's rows, then the others
   */
  follow(vertices) {
    const n = this.rim.length;
    if (!n) return;
    const jagged = this.rim.map((v) => [0, 1, 2].map((k) => (vertices[3 * v + k] - CENTRE[k]) / RADII[k]));
    const even = evened(jagged);
    RINGS.forEach((t, level) => {
      const share = smoothstep(0, 0.12, t);
      const inflated = smoothstep(0, 0.5, t);
      let row = 3 * (this.firstRow + level * n);
      for (let i = 0; i < n; i++) {
        const [p, q] = [jagged[i], even[i]];
        const x = p[0] + share * (q[0] - p[0]);
        const y = p[1] + share * (q[1] - p[1]);
        const z = p[2] + share * (q[2] - p[2]);
        const length = Math.sqrt(x * x + y * y + z * z);
        const angle = Math.acos(Math.min(1, Math.max(-1, (x * BACK[0] + y * BACK[1] + z * BACK[2]) / length)));
        // From the face's own distance to the ellipsoid's, along the meridian.
        const radius = (length + (1 - length) * inflated) / (Math.sin(angle) || 1);
        const a = (radius * Math.sin((1 - t) * angle)) / length;
        const b = radius * Math.sin(t * angle);
        vertices[row++] = CENTRE[0] + RADII[0] * (a * x + b * BACK[0]);
        vertices[row++] = CENTRE[1] + RADII[1] * (a * y + b * BACK[1]);
        vertices[row++] = CENTRE[2] + RADII[2] * (a * z + b * BACK[2]);
      }
    });
    const pole = 3 * (this.firstRow + RINGS.length * n);
    for (let k = 0; k < 3; k++) vertices[pole + k] = CENTRE[k] + RADII[k] * BACK[k];
  }

  /**
   * Writes its rows' albedo: the rim's, going over into one tone.
   * @param {Float32Array} albedo the model's rows, then the others
   * @param {number[]} tone RGB
   */
  paint(albedo, tone) {
    const n = this.rim.length;
    if (!n) return;
    RINGS.forEach((t, level) => {
      const share = smoothstep(0, 0.22, t);
      this.rim.forEach((v, i) => {
        const row = 3 * (this.firstRow + level * n + i);
        for (let k = 0; k < 3; k++) albedo[row + k] = albedo[3 * v + k] + share * (tone[k] - albedo[3 * v + k]);
      });
    });
    albedo.set(tone, 3 * (this.firstRow + RINGS.length * n));
  }
}

/** Points of a closed line, smoothed along it: triangles were left out where they ended, which makes it jagged. */
function evened(points) {
  const n = points.length;
  const mean = (from, reach) =>
    from.map((_, i) => {
      const sum = [0, 0, 0];
      for (let j = -reach; j <= reach; j++) for (let k = 0; k < 3; k++) sum[k] += from[(i + j + n) % n][k];
      return sum.map((value) => value / (2 * reach + 1));
    });
  return mean(mean(points, 4), 4);
}

/** Whether the rim lies about where the ellipsoid continues it; another face model may end elsewhere. */
function fits(rim, points) {
  const upper = rim.filter((v) => points[3 * v + 1] > EARS);
  const far = upper.filter((v) => {
    const r = Math.hypot(...[0, 1, 2].map((k) => (points[3 * v + k] - CENTRE[k]) / RADII[k]));
    return r < 0.8 || r > 1.25;
  });
  return upper.length > 20 && far.length < upper.length / 20;
}
