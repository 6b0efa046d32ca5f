/**
 * Upper teeth behind the lips: the face model has none, and an opened mouth without any looks wrong. They hang at the
 * person's skull and are the same for everybody; they belong to the picture alone, not to the model.
 */

// Widths of the teeth from the middle to the side, heights of their crowns: decimetres.
const WIDTHS = [0.085, 0.066, 0.076, 0.07, 0.068, 0.1];
const HEIGHTS = [0.1, 0.093, 0.098, 0.093, 0.09, 0.086];
// The dental arch from above, half an ellipse: half its width and its depth.
const ARCH = [0.3, 0.42];
// Where the edge of the front teeth is: below and behind the middle of the upper lip's inner side.
const BELOW = 0.042;
const BEHIND = 0.075;
const ACROSS = [0, 0.12, 0.5, 0.88]; // columns of a tooth, shares of its width
const DOWN = [0, 0.45, 0.88, 1]; // rows of a tooth, shares of its height
const WHITE = [1, 0.95, 0.87];

/** Columns of one side: distance along the arch, height, how bright. */
function columns() {
  const found = [];
  let start = 0;
  WIDTHS.forEach((width, tooth) => {
    for (const share of ACROSS) {
      const gap = share === 0;
      found.push({ along: start + share * width, height: HEIGHTS[tooth] * (gap ? 0.96 : 1), bright: gap ? 0.8 : 1 });
    }
    start += width;
  });
  return found;
}

/** Point of the arch at a distance from its middle: x to the side, z back. */
function onArch(distance) {
  let [angle, left] = [0, Math.abs(distance)];
  for (let step; left > 0; left -= step) {
    step = Math.min(left, 0.004);
    angle += step / Math.hypot(ARCH[0] * Math.cos(angle), ARCH[1] * Math.sin(angle));
  }
  return [Math.sign(distance) * ARCH[0] * Math.sin(angle), ARCH[1] * (Math.cos(angle) - 1)];
}

export class Teeth {
  /**
   * @param {boolean} wanted whether the mesh has an opening between the lips
   * @param {number} firstRow where their rows start in the vertex array
   */
  constructor(wanted, firstRow) {
    const side = wanted ? columns() : [];
    this.columns = [...side.slice(1).reverse().map((column) => ({ ...column, along: -column.along })), ...side];
    this.firstRow = firstRow;
    this.numVertices = DOWN.length * this.columns.length;
    this.triangles = [];
    for (let i = 0; i + 1 < this.columns.length; i++) {
      for (let row = 0; row + 1 < DOWN.length; row++) {
        const a = firstRow + i * DOWN.length + row;
        const b = a + DOWN.length;
        this.triangles.push(a, a + 1, b, b, a + 1, b + 1);
      }
    }
  }

  /**
   * Puts them behind a person's lips at rest.
   * @param {Float32Array} vertices the model's rows, then the others: written
   * @param {Float32Array} neutral (V, 3) the face at rest
   * @param {number} lip vertex of the upper lip's inner middle
   */
  place(vertices, neutral, lip) {
    const [cx, cy, cz] = neutral.subarray(3 * lip, 3 * lip + 3);
    let row = 3 * this.firstRow;
    for (const { along, height } of this.columns) {
      const [x, z] = onArch(along);
      for (const share of DOWN) {
        vertices[row++] = cx + x;
        vertices[row++] = cy - BELOW + (1 - share) * HEIGHTS[0] + (HEIGHTS[0] - height) * share;
        // Crowns bulge, and their edges lean in a little.
        vertices[row++] = cz - BEHIND + z + 0.012 * Math.sin(Math.PI * share);
      }
    }
  }

  /**
   * Writes their albedo.
   * @param {Float32Array} albedo
   * @param {number[]} white RGB of the front teeth
   */
  paint(albedo, white) {
    const far = this.columns.at(-1)?.along;
    let row = 3 * this.firstRow;
    for (const { along, bright } of this.columns) {
      // Little light gets to the side teeth and under the lip.
      const inside = 1 - 0.85 * Math.min(1, Math.abs(along) / far) ** 1.5;
      for (const share of DOWN) {
        const light = bright * inside * (0.7 + 0.3 * Math.min(1, share / 0.45));
        for (let k = 0; k < 3; k++) albedo[row++] = white[k] * WHITE[k] * light;
      }
    }
  }
}
