/** Turning the head by hand: drag (yaw, pitch), drag with Shift or two fingers (roll), arrow keys. */

import { currentPerson, withPart, without } from '../js/request.js';
import { poseOf } from './params.js';

// At this rate the tip of the nose stays under the pointer: it lies 1.1 decimetres before the axis, seen from 10.6
// at a focal length of 4.26, so one image width is 1 / (4.26 * 1.1 / 9.6) radians.
const DEGREES_PER_WIDTH = 117;
const LIMITS = { yaw: 75, pitch: 60, roll: 90 };
const STEP = 2;
const BIG_STEP = 8;

const KEYS = {
  ArrowLeft: ['yaw', -1],
  ArrowRight: ['yaw', 1],
  ArrowUp: ['pitch', 1],
  ArrowDown: ['pitch', -1],
};

const rounded = (value) => Math.round(value * 10) / 10;
const wrapped = (degrees) => ((((degrees + 180) % 360) + 360) % 360) - 180;

export class HeadControl {
  /**
   * @param {HTMLElement} element what is dragged and takes the focus
   * @param {import('../js/store.js').Store} store
   */
  constructor(element, store) {
    this.element = element;
    this.store = store;
    this.pointers = new Map(); // pointer id -> [x, y]
    this.start = null; // request when the gesture began, for Escape
    element.tabIndex = 0;
    element.setAttribute('role', 'application');
    element.setAttribute('aria-roledescription', '3D face');
    element.setAttribute(
      'aria-label',
      'Turn the head: drag, or use the arrow keys. Shift with left and right tips it, Home resets the pose.',
    );
    const listeners = {
      pointerdown: (event) => this.down(event),
      pointermove: (event) => this.move(event),
      pointerup: (event) => this.up(event),
      pointercancel: (event) => this.up(event),
      lostpointercapture: (event) => this.up(event),
      keydown: (event) => this.key(event),
      keyup: (event) => event.key in KEYS && this.commit(),
      blur: () => this.commit(),
      dblclick: () => this.reset(),
    };
    this.aborter = new AbortController();
    for (const [name, listener] of Object.entries(listeners)) {
      element.addEventListener(name, listener, { signal: this.aborter.signal });
    }
  }

  dispose() {
    this.aborter.abort();
  }

  /** Changes angles by these degrees. */
  turn(by, label) {
    const { state } = this.store;
    const person = currentPerson(state);
    if (!person || state.compare) return;
    const own = poseOf(person, state.request);
    const pose = {};
    for (const [angle, degrees] of Object.entries(by)) {
      // A pose beyond the limits (of another person's photograph) may come back, but not go further.
      const limit = Math.max(LIMITS[angle], Math.abs(own[angle]));
      pose[angle] = rounded(Math.min(limit, Math.max(-limit, own[angle] + degrees)));
    }
    this.start ??= state.request;
    this.store.set({ request: withPart(state.request, 'pose', pose) }, { label, drag: true });
  }

  commit() {
    if (!this.start) return;
    this.start = null;
    this.store.commit();
  }

  reset() {
    this.commit();
    const { request } = this.store.state;
    if (request.pose) this.store.set({ request: without(request, 'pose') }, { label: 'Reset pose' });
  }

  cancel() {
    if (!this.start) return;
    this.store.set({ request: this.start }, { label: 'Turn head', drag: true });
    for (const id of this.pointers.keys()) this.release(id);
    this.commit();
  }

  down(event) {
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.element.setPointerCapture(event.pointerId);
    this.element.classList.add('dragging');
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    const scale = DEGREES_PER_WIDTH / (Math.min(this.element.clientWidth, this.element.clientHeight) || 1);
    if (other) {
      // Clockwise on the screen, where y points down, is toward the right edge at the top: positive roll.
      const angle = ([x, y]) => (Math.atan2(y - other[1], x - other[0]) * 180) / Math.PI;
      this.turn({ roll: wrapped(angle(now) - angle(before)) }, 'Tip head');
    } else if (event.shiftKey) {
      this.turn({ roll: (now[0] - before[0]) * scale }, 'Tip head');
    } else {
      this.turn({ yaw: (now[0] - before[0]) * scale, pitch: (before[1] - now[1]) * scale }, 'Turn head');
    }
  }

  up(event) {
    if (!this.pointers.has(event.pointerId)) return;
    this.release(event.pointerId);
    if (!this.pointers.size) this.commit();
  }

  release(id) {
    this.pointers.delete(id);
    if (this.element.hasPointerCapture(id)) this.element.releasePointerCapture(id);
    if (!this.pointers.size) this.element.classList.remove('dragging');
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') return this.cancel();
    if (event.key === 'Home') {
      this.reset();
    } else if (event.key in KEYS) {
      const [angle, sign] = KEYS[event.key];
      if (event.shiftKey && angle === 'yaw') this.turn({ roll: sign * STEP }, 'Tip head');
      else this.turn({ [angle]: sign * (event.shiftKey ? BIG_STEP : STEP) }, 'Turn head');
    } else return;
    event.preventDefault();
    event.stopPropagation(); // the page's own arrow keys go through people
  }
}
