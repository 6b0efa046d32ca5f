/** Checks of what comes from a file: nothing that is loaded is believed. */

import { ANGLES, pruned } from './request.js';

/** What is wrong with a file, in words for the person who chose it. */
export class InvalidFile extends Error {}

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

function fail(where, expected) {
  throw new InvalidFile(`${where} should be ${expected}`);
}

/** A finite number within bounds. */
export function number(value, where, low, high) {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < low || value > high) {
    fail(where, `a number from ${low} to ${high}`);
  }
  return value;
}

function numbers(value, where, count, low, high) {
  if (!Array.isArray(value) || value.length !== count) fail(where, `a list of ${count} numbers`);
  return value.map((item, index) => number(item, `${where}[${index}]`, low, high));
}

function known(value, where, names) {
  if (!isObject(value)) fail(where, 'an object');
  const strange = Object.keys(value).find((name) => !names.includes(name));
  if (strange !== undefined)
    fail(where, `without '${strange.slice(0, 40)}'; it may hold ${names.slice(0, 8).join(', ')}`);
  return value;
}

/**
 * A request that may be sent.
 * @throws {InvalidFile}
 */
export function request(value, studio, where = 'request') {
  known(value, where, ['pose', 'expression', 'light', 'illumination']);
  const result = {};
  if (value.pose !== undefined) {
    known(value.pose, `${where}.pose`, ANGLES);
    result.pose = each(value.pose, (item, name) => number(item, `${where}.pose.${name}`, -180, 180));
  }
  if (value.expression !== undefined) {
    known(value.expression, `${where}.expression`, Object.keys(studio.unitIndex));
    result.expression = each(value.expression, (item, name) => number(item, `${where}.expression.${name}`, -10, 10));
  }
  if (value.light !== undefined) result.light = light(value.light, `${where}.light`);
  if (value.illumination !== undefined) {
    if (result.light) fail(where, 'with a light or an illumination, not both');
    if (!Array.isArray(value.illumination) || value.illumination.length !== 9) {
      fail(`${where}.illumination`, 'nine rows of three numbers');
    }
    result.illumination = value.illumination.map((row, index) =>
      numbers(row, `${where}.illumination[${index}]`, 3, -100, 100),
    );
  }
  return pruned(result);
}

function light(value, where) {
  known(value, where, ['direction', 'strength', 'colour', 'ambient']);
  const result = {};
  if (value.direction !== undefined) {
    result.direction = numbers(value.direction, `${where}.direction`, 3, -1000, 1000);
    if (!result.direction.some((item) => item !== 0)) fail(`${where}.direction`, 'other than zero');
  }
  if (value.strength !== undefined) result.strength = number(value.strength, `${where}.strength`, 0, 1);
  for (const name of ['colour', 'ambient']) {
    if (value[name] !== undefined) result[name] = numbers(value[name], `${where}.${name}`, 3, 0, 10);
  }
  return result;
}

const each = (object, check) =>
  Object.fromEntries(Object.entries(object).map(([name, item]) => [name, check(item, name)]));

/**
 * Duration, easing and keys of a timeline.
 * @throws {InvalidFile}
 */
export function timeline(value, studio) {
  known(value, 'timeline', ['duration', 'easing', 'loop', 'keys']);
  const duration = number(value.duration, 'timeline.duration', 0.5, 60);
  if (!['linear', 'smooth'].includes(value.easing)) fail('timeline.easing', "'linear' or 'smooth'");
  if (!Array.isArray(value.keys) || value.keys.length > 200) fail('timeline.keys', 'a list of at most 200 keys');
  const keys = value.keys.map((key, index) => {
    known(key, `timeline.keys[${index}]`, ['time', 'request']);
    return {
      time: number(key.time, `timeline.keys[${index}].time`, 0, duration),
      request: request(key.request, studio, `timeline.keys[${index}].request`),
    };
  });
  return { duration, easing: value.easing, loop: value.loop !== false, keys: keys.sort((a, b) => a.time - b.time) };
}

/**
 * The text of a saved portrait.
 * @returns {{label: string, latent: string, request: object, timeline: object|null}}
 * @throws {InvalidFile}
 */
export function savedPortrait(text, studio) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InvalidFile('the file should be JSON that the studio saved');
  }
  if (!isObject(value) || value.format !== 'stylerig-studio') {
    throw new InvalidFile('the file should be a studio\'s: it has no "format": "stylerig-studio"');
  }
  if (value.version !== 1) throw new InvalidFile(`version ${String(value.version).slice(0, 10)} is not known here`);
  if (value.generator !== studio.generator) {
    throw new InvalidFile(
      `it was saved with the generator '${String(value.generator).slice(0, 60)}', this is '${studio.generator}'`,
    );
  }
  const bytes = studio.num_ws * 512 * 4;
  if (typeof value.latent !== 'string' || value.latent.length !== 4 * Math.ceil(bytes / 3)) {
    fail('latent', `${studio.num_ws} x 512 float32 numbers in base64`);
  }
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(value.latent)) fail('latent', 'base64');
  const label = typeof value.label === 'string' ? value.label.slice(0, 60) : 'Loaded';
  return {
    label,
    latent: value.latent,
    request: request(value.request ?? {}, studio),
    timeline: value.timeline ? timeline(value.timeline, studio) : null,
  };
}
