/** What the triangles say about the mesh: edges, openings, how far a vertex is from the outer rim. */

/**
 * Every edge once, and the openings' rims.
 * @param {Int32Array} triangles (T, 3)
 * @param {number} numVertices
 * @returns {{edges: Uint32Array, loops: number[][]}} vertex pairs; vertices around each opening, in order
 */
export function meshEdges(triangles, numVertices) {
  const seen = new Map(); // undirected edge -> [from, to, triangles]
  for (let t = 0; t < triangles.length; t += 3) {
    for (let k = 0; k < 3; k++) {
      const from = triangles[t + k];
      const to = triangles[t + ((k + 1) % 3)];
      const key = Math.min(from, to) * numVertices + Math.max(from, to);
      const edge = seen.get(key);
      if (edge) edge[2]++;
      else seen.set(key, [from, to, 1]);
    }
  }
  const edges = new Uint32Array(2 * seen.size);
  const next = new Map();
  let row = 0;
  for (const [from, to, count] of seen.values()) {
    edges[row++] = from;
    edges[row++] = to;
    if (count === 1) next.set(from, to);
  }
  return { edges, loops: walk(next) };
}

function walk(next) {
  const loops = [];
  const done = new Set();
  for (const start of next.keys()) {
    const loop = [];
    for (let vertex = start; vertex !== undefined && !done.has(vertex); vertex = next.get(vertex)) {
      done.add(vertex);
      loop.push(vertex);
    }
    if (loop.length > 2) loops.push(loop);
  }
  return loops;
}

function distance(points, a, b) {
  const along = (k) => points[3 * a + k] - points[3 * b + k];
  return Math.hypot(along(0), along(1), along(2));
}

/**
 * The outer rim (forehead, neck): the longest loop.
 * @returns {number[]}
 */
export function outerLoop(loops, points) {
  const length = (loop) => loop.reduce((sum, v, i) => sum + distance(points, v, loop[(i + 1) % loop.length]), 0);
  return loops.reduce((longest, loop) => (length(loop) > length(longest) ? loop : longest), []);
}

/**
 * The opening between the lips: the smallest loop around the inner mouth's landmarks, null where the mesh has none.
 * @param {Int32Array} landmarks vertices of the 68 iBUG landmarks
 * @returns {number[]|null}
 */
export function mouthLoop(loops, points, landmarks) {
  const centre = mean(points, Array.from(landmarks.slice(60, 68)));
  const width = distance(points, landmarks[48], landmarks[54]);
  const near = loops.filter((loop) => {
    const c = mean(points, loop);
    return Math.hypot(c[0] - centre[0], c[1] - centre[1], c[2] - centre[2]) < width / 4;
  });
  return near.sort((a, b) => a.length - b.length)[0] ?? null;
}

function mean(points, vertices) {
  const sum = [0, 0, 0];
  for (const v of vertices) for (let k = 0; k < 3; k++) sum[k] += points[3 * v + k] / vertices.length;
  return sum;
}

/**
 * Opacity of each vertex: the surface dissolves toward the rim, which is cut where the model ends and not where a head
 * does.
 * @param {Uint32Array} edges
 * @param {number[]} rim
 * @param {Float32Array} points (V, 3)
 * @param {number} width of the dissolve, decimetres
 * @returns {Float32Array} (V,) 0 at the rim, 1 from `width` on
 */
export function rimOpacity(edges, rim, points, width) {
  // In double precision, or rounding would find a shorter way for ever.
  const far = new Float64Array(points.length / 3).fill(4 * width);
  for (const vertex of rim) far[vertex] = 0;
  // Shortest ways along edges; a few sweeps settle what lies within a few widths.
  for (let changed = true; changed; ) {
    changed = false;
    for (let e = 0; e < edges.length; e += 2) {
      const [a, b] = [edges[e], edges[e + 1]];
      const step = distance(points, a, b);
      if (far[a] > far[b] + step) [far[a], changed] = [far[b] + step, true];
      else if (far[b] > far[a] + step) [far[b], changed] = [far[a] + step, true];
    }
  }
  smooth(far, edges, 6);
  // What is left of the jags lies within the first quarter, which is not seen at all.
  return Float32Array.from(far, (value) => {
    const t = Math.min(1, Math.max(0, (value / width - 0.25) / 0.75));
    return t * t * (3 - 2 * t);
  });
}

// The rim is jagged: what dissolves toward it should not be.
function smooth(values, edges, rounds) {
  const degree = new Float32Array(values.length);
  for (const vertex of edges) degree[vertex]++;
  const sums = new Float32Array(values.length);
  for (let round = 0; round < rounds; round++) {
    sums.fill(0);
    for (let e = 0; e < edges.length; e += 2) {
      sums[edges[e]] += values[edges[e + 1]];
      sums[edges[e + 1]] += values[edges[e]];
    }
    for (let v = 0; v < values.length; v++) if (degree[v]) values[v] = 0.5 * (values[v] + sums[v] / degree[v]);
  }
}
