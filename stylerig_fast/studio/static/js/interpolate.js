/** Requests between keyframes. What a key does not ask for is the person's own, and moves there. */

import { SH_CONSTANTS, unit, withLight } from '../mesh/lighting.js';
import { ANGLES, angleOf, ownUnit, pruned } from './request.js';

const mix = (a, b, t) => a + (b - a) * t;
const mixRows = (a, b, t) =>
  a.map((value, i) => (Array.isArray(value) ? mixRows(value, b[i], t) : mix(value, b[i], t)));

/** Fraction of the way, with a slow start and end for 'smooth'. */
export const eased = (t, easing) => (easing === 'smooth' ? t * t * (3 - 2 * t) : t);

/**
 * The request at a time.
 * @param {{time: number, request: object}[]} keys in order of time, at least one.
 * @param {number} time seconds.
 * @param {'linear'|'smooth'} easing
 * @param {object} person whose own values fill the gaps.
 * @param {object} studio prepared by `indexed`.
 */
export function requestAt(keys, time, easing, person, studio) {
  const after = keys.findIndex((key) => key.time > time);
  if (after === 0) return keys[0].request;
  if (after === -1) return keys.at(-1).request;
  const [a, b] = [keys[after - 1], keys[after]];
  return between(a.request, b.request, eased((time - a.time) / (b.time - a.time), easing), person, studio);
}

/** The request a fraction `t` of the way from `a` to `b`. */
export function between(a, b, t, person, studio) {
  if (t <= 0) return a;
  if (t >= 1) return b;
  const result = {};
  if (a.pose || b.pose) {
    const asked = ANGLES.filter((name) => a.pose?.[name] !== undefined || b.pose?.[name] !== undefined);
    result.pose = Object.fromEntries(
      asked.map((name) => [name, mix(angleOf(a, person, name), angleOf(b, person, name), t)]),
    );
  }
  const units = new Set([...Object.keys(a.expression ?? {}), ...Object.keys(b.expression ?? {})]);
  if (units.size) {
    const value = (request, name) => request.expression?.[name] ?? ownUnit(person, name, studio);
    result.expression = Object.fromEntries([...units].map((name) => [name, mix(value(a, name), value(b, name), t)]));
  }
  Object.assign(result, lightBetween(a, b, t, person));
  return pruned(result);
}

function lightBetween(a, b, t, person) {
  const gamma = (request) => request.illumination ?? withLight(person.params.illumination, request.light);
  if (!a.light && !b.light && !a.illumination && !b.illumination) return {};
  const keysOf = (request) =>
    Object.keys(request.light ?? {})
      .sort()
      .join();
  // Two lights of the same kind move as such, so that the direction swings round; anything else fades.
  if (a.light?.direction && keysOf(a) === keysOf(b)) {
    const light = Object.fromEntries(
      Object.keys(a.light).map((name) => {
        const [from, to] = [a.light[name], b.light[name]];
        if (name === 'direction') return [name, swing(unit(from), unit(to), t)];
        return [name, Array.isArray(from) ? mixRows(from, to, t) : mix(from, to, t)];
      }),
    );
    return { light };
  }
  return { illumination: mixRows(gamma(a), gamma(b), t) };
}

/** From one direction to another along the great circle. */
function swing(from, to, t) {
  const cosine = Math.min(
    1,
    Math.max(
      -1,
      from.reduce((sum, value, i) => sum + value * to[i], 0),
    ),
  );
  const angle = Math.acos(cosine);
  const sine = Math.sin(angle);
  if (sine < 1e-4) {
    // Opposite directions have no one way between them: this one goes past the viewer.
    if (cosine > 0) return to;
    return t < 0.5 ? swing(from, [0, 0, 1], 2 * t) : swing([0, 0, 1], to, 2 * t - 1);
  }
  const [p, q] = [Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine];
  return from.map((value, i) => p * value + q * to[i]);
}

/** Average colours of a light that is built anew in place of the person's: half directional, half ambient. */
export function halves(person) {
  return person.params.illumination[0].map((value) => Math.max(0, value * SH_CONSTANTS[0] * 0.5));
}
