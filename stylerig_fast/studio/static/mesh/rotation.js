/**
 * Rotations, the same as stylerig_fast/face/rotation.py: axis-angle in radians, row-major 3x3 matrices, and yaw,
 * pitch, roll in degrees with R = R_roll R_yaw R_pitch. Positive yaw turns the nose to the picture's right edge,
 * positive pitch lifts the chin, positive roll tips the top of the head to the picture's right edge.
 */

const RADIANS = Math.PI / 180;

/**
 * @param {ArrayLike<number>} a 9 numbers, row-major
 * @param {ArrayLike<number>} b
 * @returns {number[]} a b
 */
export function multiply(a, b) {
  const product = new Array(9);
  for (let row = 0; row < 9; row += 3) {
    for (let column = 0; column < 3; column++) {
      product[row + column] = a[row] * b[column] + a[row + 1] * b[column + 3] + a[row + 2] * b[column + 6];
    }
  }
  return product;
}

/**
 * Rodrigues' formula.
 * @param {ArrayLike<number>} rotation axis-angle, radians
 * @returns {number[]} row-major matrix, for column vectors
 */
export function matrixFromAxisAngle([x, y, z]) {
  const squared = x * x + y * y + z * z;
  const angle = Math.sqrt(squared);
  const half = Math.sin(angle / 2);
  const a = squared < 1e-12 ? 1 : Math.sin(angle) / angle;
  const b = squared < 1e-12 ? 0.5 : (2 * half * half) / squared;
  const cross = [0, -z, y, z, 0, -x, -y, x, 0];
  const twice = multiply(cross, cross);
  return cross.map((value, i) => (i % 4 === 0 ? 1 : 0) + a * value + b * twice[i]);
}

/**
 * @param {{yaw: number, pitch: number, roll: number}} degrees
 * @returns {number[]} row-major matrix
 */
export function matrixFromDegrees({ yaw, pitch, roll }) {
  const aboutY = matrixFromAxisAngle([0, yaw * RADIANS, 0]);
  const aboutX = matrixFromAxisAngle([-pitch * RADIANS, 0, 0]);
  const aboutZ = matrixFromAxisAngle([0, 0, -roll * RADIANS]);
  return multiply(aboutZ, multiply(aboutY, aboutX));
}

/**
 * @param {ArrayLike<number>} matrix row-major
 * @returns {{yaw: number, pitch: number, roll: number}} degrees; yaw within ±90
 */
export function degreesFromMatrix(matrix) {
  return {
    yaw: Math.asin(Math.min(1, Math.max(-1, -matrix[6]))) / RADIANS,
    pitch: -Math.atan2(matrix[7], matrix[8]) / RADIANS,
    roll: -Math.atan2(matrix[3], matrix[0]) / RADIANS,
  };
}

/**
 * @param {ArrayLike<number>} rotation axis-angle, radians
 * @returns {{yaw: number, pitch: number, roll: number}} degrees
 */
export function degreesFromAxisAngle(rotation) {
  return degreesFromMatrix(matrixFromAxisAngle(rotation));
}
