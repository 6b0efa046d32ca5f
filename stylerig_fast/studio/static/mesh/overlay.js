/** What lies over the 3D face: its angles, how it is drawn, a message where it cannot be drawn. */

import { h } from '../js/dom.js';
import { currentPerson } from '../js/request.js';
import { poseOf } from './params.js';

const SVG = 'http://www.w3.org/2000/svg';

// Strokes on a 16 x 16 grid; the last one of `shaded` is filled.
const BALL = 'M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2z';
const MODES = {
  shaded: { title: 'Skin', paths: [BALL], fill: 'M8 2.2a5.8 5.8 0 0 1 0 11.6z' },
  clay: { title: 'Clay', paths: [BALL, 'M5.2 6.6a3.2 3.2 0 0 1 1.7-1.7'] },
  wire: {
    title: 'Wireframe',
    paths: [BALL, 'M2.2 8h11.6', 'M8 2.2c-3.4 3.4-3.4 8.2 0 11.6', 'M8 2.2c3.4 3.4 3.4 8.2 0 11.6'],
  },
};

const REMEMBERED = 'stylerig.mesh.mode';

export class Overlay {
  /**
   * @param {HTMLElement} element of the view
   * @param {import('../js/store.js').Store} store
   * @param {(mode: string) => void} onMode
   */
  constructor(element, store, onMode) {
    this.store = store;
    this.onMode = onMode;
    this.mode = remembered();
    this.angles = h('p', { class: 'mesh-angles', 'aria-hidden': 'true', testid: 'mesh-angles' });
    this.buttons = Object.entries(MODES).map(([mode, { title }]) =>
      h(
        'button',
        {
          type: 'button', class: 'mesh-mode', title, 'aria-label': title, testid: `mesh-${mode}`,
          'aria-pressed': String(mode === this.mode), on: { click: () => this.choose(mode) },
        },
        drawing(MODES[mode]),
      ),
    );
    this.modes = h('div', { class: 'mesh-modes', role: 'group', 'aria-label': 'Draw the mesh as' }, ...this.buttons);
    this.message = h('p', { class: 'mesh-message', role: 'status', hidden: true });
    this.parts = [this.angles, this.modes, this.message];
    element.append(...this.parts);
    this.unsubscribe = store.subscribe(() => this.update());
    this.update();
  }

  update() {
    const { state } = this.store;
    const person = currentPerson(state);
    if (!person) {
      this.angles.replaceChildren();
      return;
    }
    const pose = poseOf(person, state.compare ? {} : state.request);
    const inDegrees = (value) => `${Math.round(value) || 0}°`.replace('-', '−');
    const words = Object.entries(pose).map(([name, value]) => [name, inDegrees(value)]);
    const key = JSON.stringify([words, Object.keys(state.request.pose ?? {})]);
    if (key === this.key) return;
    this.key = key;
    const reach = state.studio?.reach?.angles;
    this.angles.replaceChildren(
      ...words.map(([name, text]) => {
        const beyond = state.request.pose?.[name] != null && reach?.[name] && !within(pose[name], reach[name]);
        const label = name[0].toUpperCase() + name.slice(1);
        return h('span', { class: beyond && 'beyond' }, h('span', { class: 'name', text: label }), ` ${text}`);
      }),
    );
  }

  choose(mode) {
    this.mode = mode;
    try {
      localStorage.setItem(REMEMBERED, mode);
    } catch {
      // A browser that keeps nothing forgets it with the page.
    }
    this.buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(Object.keys(MODES)[i] === mode)));
    this.onMode(mode);
  }

  /** Shows a message in place of the face. */
  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
    this.modes.hidden = Boolean(text);
  }

  dispose() {
    this.unsubscribe();
    for (const part of this.parts) part.remove();
  }
}

const within = (value, [low, high]) => value >= low - 0.05 && value <= high + 0.05;

function remembered() {
  try {
    const mode = localStorage.getItem(REMEMBERED);
    return mode in MODES ? mode : 'shaded';
  } catch {
    return 'shaded';
  }
}

function drawing({ paths, fill }) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [name, value] of Object.entries({
    viewBox: '0 0 16 16', width: 16, height: 16, fill: 'none', stroke: 'currentColor', 'stroke-width': 1.25,
    'aria-hidden': 'true',
  })) svg.setAttribute(name, value);
  const add = (d, filled) => {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    if (filled) path.setAttribute('fill', 'currentColor');
    svg.append(path);
  };
  paths.forEach((d) => add(d, false));
  if (fill) add(fill, true);
  return svg;
}
