/** The timeline's clock: playing, scrubbing, and the keys. */

import { currentPerson } from './request.js';
import { requestAt } from './interpolate.js';

/** Two keys closer than this are one. */
const SAME = 0.02;

export class Playback {
  #last = 0;
  #own = null;

  /** @param {object} app store, studio. */
  constructor(app) {
    this.app = app;
    app.store.subscribe((state, previous) => {
      if (state.timeline.playing && !previous.timeline.playing) {
        this.#last = performance.now();
        requestAnimationFrame((now) => this.#tick(now));
      }
      // Whoever moves a control takes over from the player.
      const foreign = state.request !== previous.request && state.request !== this.#own;
      if (foreign && state.person === previous.person && state.timeline.playing) this.pause();
    });
  }

  get timeline() {
    return this.app.store.state.timeline;
  }

  #set(patch, options = { silent: true }) {
    this.app.store.set({ timeline: { ...this.timeline, ...patch } }, options);
  }

  /** Moves the playhead, and the face to what the keys say there. */
  seek(time) {
    const { store, studio } = this.app;
    const { keys, duration, easing } = this.timeline;
    const timeline = { ...this.timeline, time: Math.min(duration, Math.max(0, time)) };
    const person = currentPerson(store.state);
    if (!keys.length || !person) {
      store.set({ timeline }, { silent: true });
      return;
    }
    this.#own = requestAt(keys, timeline.time, easing, person, studio);
    store.set({ timeline, request: this.#own }, { silent: true });
  }

  toggle() {
    if (this.timeline.playing) this.pause();
    else this.play();
  }

  play() {
    const { keys, time, duration } = this.timeline;
    if (!keys.length) return;
    if (time >= duration - 1e-3) this.seek(0);
    this.#set({ playing: true });
  }

  pause() {
    this.#set({ playing: false });
  }

  #tick(now) {
    const { playing, time, duration, loop } = this.timeline;
    if (!playing) return;
    // A tab that slept does not jump.
    const next = time + Math.min(0.25, Math.max(0, now - this.#last) / 1000);
    this.#last = now;
    if (next < duration) this.seek(next);
    else if (loop) this.seek(next % duration);
    else {
      this.seek(duration);
      this.pause();
      return;
    }
    requestAnimationFrame((later) => this.#tick(later));
  }

  /** Index of the key under the playhead, or -1. */
  keyHere() {
    return this.timeline.keys.findIndex((key) => Math.abs(key.time - this.timeline.time) < SAME);
  }

  /** Keeps what the face shows now as a key at the playhead, over one that is there. */
  addKey() {
    const { request } = this.app.store.state;
    const time = this.timeline.time;
    const others = this.timeline.keys.filter((key) => Math.abs(key.time - time) >= SAME);
    this.#setKeys([...others, { time, request }], 'Add key');
  }

  deleteKey(index = this.keyHere()) {
    if (index < 0) return;
    this.#setKeys(
      this.timeline.keys.filter((_, i) => i !== index),
      'Delete key',
    );
  }

  /**
   * Moves a key; it passes over its neighbours.
   * @returns {number} its new index.
   */
  moveKey(index, time, drag) {
    const moved = { ...this.timeline.keys[index], time: Math.min(this.timeline.duration, Math.max(0, time)) };
    this.#setKeys(
      this.timeline.keys.map((key, i) => (i === index ? moved : key)),
      'Move key',
      drag,
    );
    return this.timeline.keys.findIndex((key) => key.time === moved.time && key.request === moved.request);
  }

  clear() {
    this.#setKeys([], 'Clear timeline');
  }

  /** A new length; keys beyond it are dropped (undo brings them back). */
  setDuration(duration) {
    const keys = this.timeline.keys.filter((key) => key.time <= duration);
    this.#set({ duration, keys, time: Math.min(this.timeline.time, duration) }, { label: 'Duration' });
  }

  setEasing(easing) {
    this.#set({ easing });
    if (this.timeline.keys.length > 1) this.seek(this.timeline.time);
  }

  setLoop(loop) {
    this.#set({ loop });
  }

  #setKeys(keys, label, drag = false) {
    this.#set({ keys: [...keys].sort((a, b) => a.time - b.time), playing: false }, { label, drag });
  }

  /** The requests of an animation, one per frame. */
  frames(fps) {
    const { store, studio } = this.app;
    const { keys, duration, easing } = this.timeline;
    const person = currentPerson(store.state);
    const count = Math.max(1, Math.round(duration * fps));
    return Array.from({ length: count }, (_, i) => requestAt(keys, i / fps, easing, person, studio));
  }
}
