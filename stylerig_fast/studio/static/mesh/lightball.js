/** The light's direction as a ball that is lit as the face is: drag over it, or use the arrow keys. */

import { h } from '../js/dom.js';
import { currentPerson, withPart, without } from '../js/request.js';
import { dominantDirection, greyUnder, shBasis, unit } from './lighting.js';
import { illuminationOf } from './params.js';
import { onThemeChange } from './theme.js';

const STEP = 5;
const BIG_STEP = 15;
const RADIANS = Math.PI / 180;
// How bright the ball is in the mean of the person's own light.
const BRIGHTNESS = 0.58;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/**
 * Where a direction lies on the picture of the ball.
 * @returns {{x: number, y: number, behind: boolean}} in radii, x right, y up
 */
export function placeOnBall(direction) {
  const [x, y, z] = unit(direction);
  return { x, y, behind: z < 0 };
}

/**
 * The direction under a point of the ball's picture; the rim's for points beyond it.
 * @returns {number[]} unit vector toward the viewer's side
 */
export function directionAt(x, y) {
  const r = Math.hypot(x, y);
  return r < 1 ? [x, y, Math.sqrt(1 - r * r)] : [x / r, y / r, 0];
}

/** Turns a direction by degrees to the right and up, staying on the viewer's side. */
export function nudged(direction, right, up) {
  const [x, y, z] = unit(direction);
  const clamp = (value) => Math.min(90, Math.max(-90, value));
  const azimuth = clamp(Math.atan2(x, Math.max(z, 1e-9)) / RADIANS + right) * RADIANS;
  const height = clamp(Math.asin(Math.min(1, Math.max(-1, y))) / RADIANS + up) * RADIANS;
  return [Math.sin(azimuth) * Math.cos(height), Math.sin(height), Math.cos(azimuth) * Math.cos(height)];
}

export class LightBall {
  /**
   * @param {HTMLElement} element gets the ball; its width decides the ball's
   * @param {import('../js/store.js').Store} store
   */
  constructor(element, store) {
    this.element = element;
    this.store = store;
    this.canvas = h('canvas', { class: 'light-ball-canvas' });
    this.handle = h('span', { class: 'light-ball-handle' });
    this.ball = h(
      'div',
      {
        class: 'light-ball', tabindex: 0, role: 'application', testid: 'light-ball',
        'aria-roledescription': 'light direction', 'aria-label': 'Light direction',
        title: 'Drag to move the light; double-click to reset',
      },
      this.canvas, this.handle,
    );
    element.append(this.ball);
    this.aborter = new AbortController();
    const listeners = {
      pointerdown: (event) => this.down(event),
      pointermove: (event) => this.ball.hasPointerCapture(event.pointerId) && this.point(event),
      lostpointercapture: () => this.commit(),
      keydown: (event) => this.key(event),
      keyup: (event) => event.key in KEYS && this.commit(),
      blur: () => this.commit(),
      dblclick: () => this.reset(),
    };
    for (const [name, listener] of Object.entries(listeners)) {
      this.ball.addEventListener(name, listener, { signal: this.aborter.signal });
    }
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.ball);
    this.undo = [store.subscribe(() => this.update()), onThemeChange(() => this.update(true))];
    this.resize();
  }

  dispose() {
    this.aborter.abort();
    this.resized.disconnect();
    for (const undo of this.undo) undo();
    this.ball.remove();
  }

  // ---- drawing ---------------------------------------------------------------------------------------------------

  resize() {
    const side = Math.min(320, Math.round(this.ball.clientWidth * Math.min(window.devicePixelRatio || 1, 2)));
    if (!side || side === this.side) return;
    this.side = this.canvas.width = this.canvas.height = side;
    this.prepare();
    this.update(true);
  }

  /** The nine functions at every pixel of the ball, once per size. */
  prepare() {
    const { side } = this;
    this.picture = new ImageData(side, side);
    this.basis = new Float32Array(9 * side * side);
    const radius = side / 2 - 1;
    for (let row = 0, pixel = 0; row < side; row++) {
      for (let column = 0; column < side; column++, pixel++) {
        const x = (column + 0.5 - side / 2) / radius;
        const y = (side / 2 - row - 0.5) / radius;
        const r = Math.hypot(x, y);
        // One pixel of the rim is half covered.
        this.picture.data[4 * pixel + 3] = 255 * Math.min(1, Math.max(0, (1 - r) * radius + 0.5));
        if ((r - 1) * radius < 1) this.basis.set(shBasis(...directionAt(x, y)), 9 * pixel);
      }
    }
  }

  update(force = false) {
    const { state } = this.store;
    const person = currentPerson(state);
    this.ball.classList.toggle('empty', !person);
    if (!person || !this.side) return;
    const request = state.compare ? {} : state.request;
    const gamma = illuminationOf(person, request);
    const direction = request.light?.direction ?? dominantDirection(gamma);
    const key = JSON.stringify([gamma, direction]);
    if (!force && key === this.painted) return;
    this.painted = key;
    this.direction = direction;
    this.paint(gamma, greyUnder(person.params.illumination, BRIGHTNESS));
    const { x, y, behind } = placeOnBall(direction);
    this.handle.style.left = `${50 + 50 * x}%`;
    this.handle.style.top = `${50 - 50 * y}%`;
    this.handle.classList.toggle('behind', behind);
    this.ball.setAttribute('aria-label', `Light from ${inWords(direction)}. Arrow keys move it, Home resets it.`);
  }

  paint(gamma, albedo) {
    const { basis, picture } = this;
    const data = picture.data;
    const g = Float32Array.from(gamma.flat(), (value, i) => 255 * albedo[i % 3] * value);
    for (let pixel = 0, i = 0; i < data.length; pixel += 9, i += 4) {
      if (!data[i + 3]) continue;
      let [red, green, blue] = [0, 0, 0];
      for (let b = 0; b < 9; b++) {
        const value = basis[pixel + b];
        red += value * g[3 * b];
        green += value * g[3 * b + 1];
        blue += value * g[3 * b + 2];
      }
      data[i] = red;
      data[i + 1] = green;
      data[i + 2] = blue;
    }
    this.canvas.getContext('2d').putImageData(picture, 0, 0);
  }

  // ---- moving ----------------------------------------------------------------------------------------------------

  set(direction) {
    const { state } = this.store;
    if (!currentPerson(state) || state.compare) return;
    const digits = unit(direction).map((value) => Math.round(value * 1e4) / 1e4);
    this.moving = true;
    const request = withPart(state.request, 'light', { direction: digits });
    this.store.set({ request }, { label: 'Move light', drag: true });
  }

  commit() {
    if (!this.moving) return;
    this.moving = false;
    this.store.commit();
  }

  reset() {
    this.commit();
    const { request } = this.store.state;
    const label = 'Reset light';
    if (request.light || request.illumination) {
      this.store.set({ request: without(request, 'light', 'illumination') }, { label });
    }
  }

  down(event) {
    if (event.button !== 0) return;
    this.ball.setPointerCapture(event.pointerId);
    this.point(event);
  }

  point(event) {
    const box = this.ball.getBoundingClientRect();
    const x = (2 * (event.clientX - box.left)) / box.width - 1;
    const y = 1 - (2 * (event.clientY - box.top)) / box.height;
    this.set(directionAt(x, y));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Home') {
      this.reset();
    } else if (event.key in KEYS) {
      const [right, up] = KEYS[event.key];
      const step = event.shiftKey ? BIG_STEP : STEP;
      this.set(nudged(this.direction ?? [0, 0, 1], right * step, up * step));
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function inWords(direction) {
  const [x, y, z] = unit(direction);
  const words = [];
  if (Math.abs(y) > 0.2) words.push(y > 0 ? 'above' : 'below');
  if (Math.abs(x) > 0.2) words.push(x > 0 ? 'the right' : 'the left');
  if (!words.length) words.push(z < 0 ? 'behind' : 'the front');
  return words.join(' and ');
}
