/** The pinhole camera of stylerig_fast/face/camera.py: at the origin, looking down -z, focal length in image widths. */

/** What FFHQ-aligned crops look like they were taken with. */
export const FFHQ_FOCAL = 4.26;

/**
 * A camera-space point in the picture.
 * @returns {[number, number]} image widths from the top-left corner, x right, y down
 */
export function project(x, y, z, focal = FFHQ_FOCAL) {
  const scale = focal / -z;
  return [x * scale + 0.5, 0.5 - y * scale];
}

/**
 * OpenGL's projection for a canvas: the largest centred square of it is the picture.
 * @param {number} focal image widths
 * @param {number} width of the canvas
 * @param {number} height of the canvas
 * @returns {number[]} 16 numbers, row-major
 */
export function projectionMatrix(focal, width, height, near = 1, far = 100) {
  const side = Math.min(width, height);
  const depth = far - near;
  return [
    [(2 * focal * side) / width, 0, 0, 0],
    [0, (2 * focal * side) / height, 0, 0],
    [0, 0, -(far + near) / depth, (-2 * far * near) / depth],
    [0, 0, -1, 0],
  ].flat();
}
