/** What a reload of the page must not lose, kept in the tab's own storage. */

import { number, request, timeline } from './validate.js';

const KEY = 'stylerig-studio';

/** Writes the work down. The tab's storage is small and may be off: then a reload starts anew. */
export function remember(state, session, studio) {
  const { people, person, requests, linked, hold } = state;
  const { duration, easing, loop, keys } = state.timeline;
  const work = {
    session,
    generator: studio.generator,
    people,
    person,
    requests,
    linked,
    hold,
    timeline: { duration, easing, loop, keys },
  };
  try {
    sessionStorage.setItem(KEY, JSON.stringify(work));
  } catch {
    sessionStorage.removeItem(KEY);
  }
}

/**
 * The work of this tab before it was loaded again, or null.
 * @param {object} studio prepared by `indexed`; work with another generator is of no use.
 */
export function recall(studio) {
  try {
    const work = JSON.parse(sessionStorage.getItem(KEY));
    if (!work || work.generator !== studio.generator || !work.people.length) return null;
    for (const person of work.people) {
      number(person.params.expression.length, 'expression', 1, 10_000);
      if (typeof person.id !== 'string' || !person.recipe) return null;
    }
    if (!work.people.some((person) => person.id === work.person)) return null;
    const requests = Object.fromEntries(
      Object.entries(work.requests).map(([id, value]) => [id, request(value, studio)]),
    );
    return { ...work, requests, timeline: timeline(work.timeline, studio) };
  } catch {
    return null;
  }
}
