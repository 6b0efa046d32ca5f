/** The slots of a code: which to take. Coarse ones hold the head's shape and pose, fine ones colours. */

import { h } from '../js/dom.js';

/** Names for stretches of slots, by what StyleGAN's layers are known to hold; the bounds are shares of the slots. */
const STRETCHES = [
  { id: 'coarse', label: 'Coarse', about: 'pose, shape of the head, hair', from: 0, to: 4 },
  { id: 'middle', label: 'Middle', about: 'features, eyes, mouth', from: 4, to: 8 },
  { id: 'fine', label: 'Fine', about: 'colours, light, skin', from: 8, to: Infinity },
];

/**
 * @param {object} studio
 * @param {() => void} changed
 * @returns {{element: HTMLElement, chosen: () => number[]}}
 */
export function slotPicker({ num_ws: count }, changed) {
  const chosen = new Set(Array.from({ length: Math.min(4, count) }, (_, i) => i));
  let painting = null;
  const set = (slot, on) => {
    if (on) chosen.add(slot);
    else chosen.delete(slot);
    show();
  };
  const cells = Array.from({ length: count }, (_, slot) =>
    h('button', {
      type: 'button',
      class: 'slot',
      text: String(slot),
      testid: `mix-slot-${slot}`,
      'aria-label': `Slot ${slot}`,
      on: {
        pointerdown: (event) => {
          if (event.button !== 0) return;
          painting = !chosen.has(slot);
          set(slot, painting);
        },
        pointerenter: (event) => {
          if (painting !== null && event.buttons === 1) set(slot, painting);
        },
        // By keyboard there is a click without a pointer.
        click: (event) => {
          if (event.detail === 0) set(slot, !chosen.has(slot));
        },
      },
    }),
  );
  const stop = () => {
    painting = null;
  };
  window.addEventListener('pointerup', stop);
  window.addEventListener('pointercancel', stop);

  const stretches = STRETCHES.map((stretch) => ({ ...stretch, to: Math.min(stretch.to, count) })).filter(
    (stretch) => stretch.from < stretch.to,
  );
  const inside = ({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i);
  const toggles = stretches.map((stretch) =>
    h(
      'button',
      {
        type: 'button',
        class: 'stretch',
        testid: `mix-${stretch.id}`,
        title: `${stretch.label}: ${stretch.about}`,
        on: {
          click: () => {
            const slots = inside(stretch);
            const all = slots.every((slot) => chosen.has(slot));
            slots.forEach((slot) => (all ? chosen.delete(slot) : chosen.add(slot)));
            show();
          },
        },
      },
      h('strong', { text: stretch.label }),
      h('span', { text: stretch.about }),
    ),
  );
  const rows = stretches.map((stretch, i) =>
    h(
      'div',
      { class: 'slot-row' },
      toggles[i],
      h('div', { class: 'slot-cells' }, ...inside(stretch).map((slot) => cells[slot])),
    ),
  );
  const element = h('div', { class: 'slots', role: 'group', 'aria-label': 'Slots to take' }, ...rows);

  function show() {
    cells.forEach((cell, slot) => cell.setAttribute('aria-pressed', String(chosen.has(slot))));
    toggles.forEach((toggle, i) => {
      const slots = inside(stretches[i]);
      const some = slots.filter((slot) => chosen.has(slot)).length;
      toggle.setAttribute('aria-pressed', some === slots.length ? 'true' : some ? 'mixed' : 'false');
    });
    changed();
  }
  queueMicrotask(show);
  return { element, chosen: () => [...chosen].sort((a, b) => a - b) };
}
