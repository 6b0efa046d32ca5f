/** What a person and a request ask of the face model together: FaceParams.completed_by in the browser. */

import { withLight } from './lighting.js';
import { degreesFromAxisAngle, matrixFromAxisAngle, matrixFromDegrees } from './rotation.js';

/**
 * The head's angles: what the request says, the person's own elsewhere.
 * @returns {{yaw: number, pitch: number, roll: number}} degrees
 */
export function poseOf(person, request) {
  const own = person.params.pose ?? degreesFromAxisAngle(person.params.rotation);
  const asked = request?.pose ?? {};
  return { yaw: asked.yaw ?? own.yaw, pitch: asked.pitch ?? own.pitch, roll: asked.roll ?? own.roll };
}

/**
 * The head's rotation; the person's own exactly where nothing else is asked for.
 * @returns {number[]} row-major matrix
 */
export function rotationOf(person, request) {
  const { yaw, pitch, roll } = request?.pose ?? {};
  if (yaw == null && pitch == null && roll == null) return matrixFromAxisAngle(person.params.rotation);
  return matrixFromDegrees(poseOf(person, request));
}

// Where Engine.edit turns a picture about when a roll is asked for, in picture widths (stylerig_fast/engine/roll.py).
const PIVOT = [0.5, 0.72];

/**
 * Where the head is drawn: the person's own place, swung about the neck by the roll that is asked for, as the portrait
 * is. (The model itself turns about its origin, between the ears.)
 * @param {number} focal image widths
 * @returns {number[]} decimetres, camera space
 */
export function placeOf(person, request, focal) {
  const [x, y, z] = person.params.translation;
  const turn = (poseOf(person, request).roll - poseOf(person, null).roll) * (Math.PI / 180);
  if (!turn) return [x, y, z];
  // The pivot at the head's depth; positive roll is clockwise in the picture.
  const scale = -z / focal;
  const [px, py] = [(PIVOT[0] - 0.5) * scale, (0.5 - PIVOT[1]) * scale];
  const [sine, cosine] = [Math.sin(turn), Math.cos(turn)];
  return [px + cosine * (x - px) + sine * (y - py), py - sine * (x - px) + cosine * (y - py), z];
}

/**
 * The light on the face: a raw gamma, the person's light changed, or the person's own.
 * @returns {number[][]} gamma, 9 rows of RGB
 */
export function illuminationOf(person, request) {
  return request?.illumination ?? withLight(person.params.illumination, request?.light);
}

/**
 * Expression coefficients with the named ones of the request; names that the model does not have are ignored.
 * @param {string[]} names of the model's expression coefficients
 * @returns {number[]}
 */
export function expressionOf(person, request, names) {
  const asked = request?.expression ?? {};
  const own = person.params.expression;
  return names.map((name, k) => asked[name] ?? own[k] ?? 0);
}
