/**
 * The page's state: one frozen object that is replaced, never mutated, with undo.
 *
 * What undo knows is the document: the requests of all people and the keyframes. Choosing a person, a tab or a theme
 * is no step, but every step remembers whose face it changed and goes back there.
 */

import { exclusiveLight } from './request.js';

const LIMIT = 200;

/** @param {object} value frozen in depth; arrays and plain objects only. */
function deepFreeze(value) {
  if (value && typeof value === 'object' && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

function documentOf(state) {
  return {
    person: state.person,
    request: state.request,
    requests: state.requests,
    keys: state.timeline.keys,
    duration: state.timeline.duration,
  };
}

const sameDocument = (a, b) =>
  a.requests === b.requests && a.request === b.request && a.keys === b.keys && a.duration === b.duration;

export class Store {
  #state;
  #listeners = new Set();
  #past = [];
  #future = [];
  #open = false;

  /** @param {object} initial needs at least people, person, request, requests, timeline. */
  constructor(initial) {
    this.#state = deepFreeze({ ...initial });
  }

  /** The current state, frozen. */
  get state() {
    return this.#state;
  }

  /** What the next undo takes back ('' when there is nothing). */
  get undoLabel() {
    return this.#past.at(-1)?.label ?? '';
  }

  get redoLabel() {
    return this.#future.at(-1)?.label ?? '';
  }

  /**
   * @param {(state: object, previous: object) => void} listener called after every change.
   * @returns {() => void} ends the subscription.
   */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Changes the state.
   *
   * A `request` is kept for the person it belongs to; a `person` without a request brings that person's own.
   *
   * @param {object} patch the keys to replace.
   * @param {object} [options]
   * @param {string} [options.label] what undo calls this step.
   * @param {boolean} [options.drag] one of many changes that become one step at `commit()`.
   * @param {boolean} [options.silent] no step at all: choosing a person, playing the timeline.
   */
  set(patch, { label = '', drag = false, silent = false } = {}) {
    const previous = this.#state;
    const next = { ...previous, ...patch };
    if (patch.person !== undefined && patch.request === undefined && patch.person !== previous.person) {
      next.request = previous.hold ? previous.request : (next.requests[patch.person] ?? {});
    }
    if (next.request !== previous.request) {
      next.request = exclusiveLight(next.request, previous.request);
      next.requests = { ...next.requests, [next.person]: next.request };
    }
    const before = documentOf(previous);
    const step = !silent && !sameDocument(before, documentOf(next));
    if (step) {
      if (!drag) this.commit();
      if (!this.#open) {
        this.#past.push({ label, document: before });
        if (this.#past.length > LIMIT) this.#past.shift();
      }
      this.#open = drag;
      this.#future.length = 0;
    }
    this.#replace(next);
  }

  /** Ends a drag: what comes next is a step of its own. */
  commit() {
    this.#open = false;
  }

  /** Takes the last step back; returns whether there was one. */
  undo() {
    return this.#travel(this.#past, this.#future);
  }

  redo() {
    return this.#travel(this.#future, this.#past);
  }

  #travel(from, to) {
    this.commit();
    const step = from.pop();
    if (!step) return false;
    to.push({ label: step.label, document: documentOf(this.#state) });
    const { keys, duration, ...rest } = step.document;
    const next = { ...this.#state, ...rest, timeline: { ...this.#state.timeline, keys, duration, playing: false } };
    // The person may have been removed since.
    if (!next.people.some((person) => person.id === next.person)) {
      next.person = this.#state.person;
      next.request = next.requests[next.person] ?? {};
    }
    this.#replace(next);
    return true;
  }

  #replace(next) {
    const previous = this.#state;
    deepFreeze(next);
    this.#state = next;
    for (const listener of [...this.#listeners]) listener(next, previous);
  }
}
