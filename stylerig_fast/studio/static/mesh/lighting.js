/**
 * Spherical-harmonic lighting, the same as stylerig_fast/face/lighting.py and FaceParams.with_light: three real
 * bands x RGB, colour_c = albedo_c * sum_b gamma[b][c] * Y_b(normal) (Ramamoorthi & Hanrahan 2001).
 */

/** Order: 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2. */
export const SH_CONSTANTS = [0.282095, 0.488603, 0.488603, 0.488603, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274];

/** Share of the light that is directional when a direction is asked for without a strength. */
export const DEFAULT_LIGHT_STRENGTH = 0.25;

const BANDS = [Math.PI, ...Array(3).fill((2 * Math.PI) / 3), ...Array(5).fill(Math.PI / 4)];
const LUMINANCE = [0.299, 0.587, 0.114];

/** @typedef {number[][]} Gamma 9 rows of RGB */

/**
 * The nine basis functions at a unit vector.
 * @returns {number[]}
 */
export function shBasis(x, y, z) {
  const polynomials = [1, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y];
  return polynomials.map((value, b) => SH_CONSTANTS[b] * value);
}

/** @returns {number[]} the vector at unit length; the viewer's direction for a zero vector */
export function unit([x, y, z]) {
  const length = Math.hypot(x, y, z);
  return length > 0 ? [x / length, y / length, z / length] : [0, 0, 1];
}

/**
 * Gamma of an ambient term plus one directional light under a Lambertian surface.
 * @param {number[]} direction toward the light, camera space
 * @param {number[]} colour RGB
 * @param {number[]} ambient RGB
 * @returns {Gamma}
 */
export function directionalLight(direction, colour, ambient) {
  const basis = shBasis(...unit(direction));
  return basis.map((value, b) =>
    colour.map((part, c) => value * BANDS[b] * part + (b === 0 ? ambient[c] / SH_CONSTANTS[0] : 0)),
  );
}

/**
 * The same light from another direction: same tint, and same mean brightness of the face's visible side.
 * @param {Gamma} gamma
 * @param {number[]} direction toward the light, camera space
 * @param {number} share how much of the light is directional, 0 to 1
 * @returns {Gamma}
 */
export function turnLight(gamma, direction, share) {
  const [x, y, z] = unit(direction);
  const linear = [y, z, x].map((value) => gamma[0].map((part) => (2 / Math.sqrt(3)) * share * value * part));
  // Means of the constant and the z function over normals that face the viewer.
  const front = (constant, alongZ, c) => SH_CONSTANTS[0] * constant[c] + ((SH_CONSTANTS[2] * 2) / 3) * alongZ[c];
  const exposure = [0, 1, 2].map((c) => {
    const ratio = front(gamma[0], gamma[2], c) / Math.max(front(gamma[0], linear[1], c), 1e-6);
    return Math.min(4, Math.max(0.25, ratio));
  });
  const turned = [gamma[0], ...linear].map((row) => row.map((value, c) => value * exposure[c]));
  return [...turned, ...gamma.slice(4)];
}

/**
 * Unit direction of the linear band's luminance: where most light comes from; the viewer's without any direction.
 * @param {Gamma} gamma
 * @returns {number[]}
 */
export function dominantDirection(gamma) {
  const direction = [3, 1, 2].map((b) => gamma[b].reduce((sum, value, c) => sum + value * LUMINANCE[c], 0));
  const length = Math.hypot(...direction);
  return length > 1e-6 ? direction.map((value) => value / length) : [0, 0, 1];
}

/**
 * FaceParams.with_light: with a direction alone (or a strength) the person's light turns, with a colour or an ambient
 * part it is built anew.
 * @param {Gamma} gamma the person's own
 * @param {{direction?: number[], strength?: number, colour?: number[], ambient?: number[]}} [light]
 * @returns {Gamma}
 */
export function withLight(gamma, light) {
  const { direction, strength, colour, ambient } = light ?? {};
  if (direction == null && strength == null && colour == null && ambient == null) return gamma;
  const toward = direction ?? dominantDirection(gamma);
  if (colour != null || ambient != null) {
    const half = gamma[0].map((value) => value * SH_CONSTANTS[0] * 0.5);
    return directionalLight(toward, colour ?? half, ambient ?? half);
  }
  return turnLight(gamma, toward, strength ?? DEFAULT_LIGHT_STRENGTH);
}

/**
 * Albedo of something that looks grey in the mean of this light, whatever its tint: a reconstructed light is tinted
 * against a skin, and means little by itself.
 * @param {Gamma} gamma the person's own light
 * @param {number} brightness of the grey, 0..1
 * @returns {number[]} RGB
 */
export function greyUnder(gamma, brightness) {
  return gamma[0].map((value) => brightness / Math.max(value * SH_CONSTANTS[0], 0.05));
}
