/**
 * Requests: what is asked of a person's face. A key that is absent is the person's own value.
 *
 * `{pose: {yaw, pitch, roll}, expression: {unit: value}, light: {direction, strength, colour, ambient},
 * illumination: 9 x 3}`; light and illumination exclude each other.
 */

export const ANGLES = ['yaw', 'pitch', 'roll'];
const PARTS = ['pose', 'expression', 'light', 'illumination'];

/** A request without parts that ask for nothing. */
export function pruned(request) {
  const result = {};
  for (const part of PARTS) {
    const value = request[part];
    if (!value) continue;
    if (Array.isArray(value)) {
      result[part] = value;
      continue;
    }
    const kept = Object.entries(value).filter(([, item]) => item !== undefined && item !== null);
    if (kept.length) result[part] = Object.fromEntries(kept);
  }
  return result;
}

/** `request` with some keys of one part replaced; a key set to undefined goes back to the person's own. */
export function withPart(request, part, values) {
  return pruned({ ...request, [part]: { ...request[part], ...values } });
}

/** `request` with parts taken away. */
export function without(request, ...parts) {
  return pruned(Object.fromEntries(Object.entries(request).filter(([part]) => !parts.includes(part))));
}

/** Keeps light and illumination apart: the one that is new wins. */
export function exclusiveLight(request, previous) {
  if (!request.light || !request.illumination) return request;
  return without(request, request.light !== previous.light ? 'illumination' : 'light');
}

export const isEdited = (request) => PARTS.some((part) => request[part] !== undefined);

/** The person that the state shows, or undefined before there is one. */
export const currentPerson = (state) => state.people.find((person) => person.id === state.person);

/** Degrees shown for an angle. */
export const angleOf = (request, person, name) => request.pose?.[name] ?? person?.params.pose[name] ?? 0;

/**
 * The value of a unit.
 * @param {object} studio GET /api/studio, prepared by `indexed`.
 */
export function unitOf(request, person, name, studio) {
  return request.expression?.[name] ?? ownUnit(person, name, studio);
}

/** The person's own value of a unit. */
export const ownUnit = (person, name, studio) => person?.params.expression[studio.unitIndex[name]] ?? 0;

/** GET /api/studio with the place of every unit in a person's expression vector. */
export function indexed(studio) {
  const names = studio.expression_names ?? studio.expressions.map((unit) => unit.name);
  return { ...studio, unitIndex: Object.fromEntries(names.map((name, index) => [name, index])) };
}

const round = (value) => Math.round(value * 1e4) / 1e4;

/** The request as it travels: four digits behind the point are more than any picture shows. */
export function rounded(request) {
  const visit = (value) => {
    if (typeof value === 'number') return round(value);
    if (Array.isArray(value)) return value.map(visit);
    if (value && typeof value === 'object') {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item)]));
    }
    return value;
  };
  return visit(pruned(request));
}

/**
 * What the request asks for, in words.
 * @param {number} [most] how many things to name.
 */
export function inWords(request, studio, most = 4) {
  const words = [];
  for (const name of ANGLES) {
    if (request.pose?.[name] !== undefined) words.push(`${name} ${Math.round(request.pose[name])}°`);
  }
  if (request.light) words.push('light');
  if (request.illumination) words.push('light of another person');
  const units = Object.entries(request.expression ?? {});
  if (units.length > 12) words.push('expression of another person');
  else {
    for (const [name, value] of units) {
      const unit = studio.expressions.find((item) => item.name === name);
      const both = unit?.mirror && request.expression[unit.mirror] === value;
      if (both && unit.side === 'right') continue;
      const side = both || !unit || unit.side === 'both' ? '' : `${unit.side} `;
      const part =
        { brows: 'brow ', eyes: 'eye ', cheeks: 'cheek ', mouth: '' }[unit?.group] ?? `${unit?.group ?? ''} `;
      words.push(`${side}${part}${(unit?.label ?? name).toLowerCase()} ${value.toFixed(2)}`);
    }
  }
  if (!words.length) return 'each person as they are';
  const rest = words.length - most;
  return rest > 0 ? `${words.slice(0, most).join(', ')} and ${rest} more` : words.join(', ');
}
