/** Sections of a panel. */

import { h } from './dom.js';

/**
 * A titled section.
 * @param {string} title
 * @param {object} [options]
 * @param {(Node|null)[]} [options.actions] at the right of the title.
 * @param {string} [options.hint] a sentence under the title.
 * @param {...Node} children
 */
export function section(title, { actions = [], hint = '', testid } = {}, ...children) {
  return h(
    'section',
    { class: 'section', testid, 'aria-label': title },
    h(
      'header',
      { class: 'section-head' },
      h('h3', { text: title }),
      h('div', { class: 'section-actions' }, ...actions),
    ),
    hint ? h('p', { class: 'hint', text: hint }) : null,
    ...children,
  );
}

/** A labelled row for a control that is no slider. */
export function field(label, control, { id } = {}) {
  if (id) control.id = id;
  return h('div', { class: 'field' }, h('label', { class: 'field-label', for: id ?? null, text: label }), control);
}

/**
 * Buttons of which one is pressed.
 * @param {string} label of the group.
 * @param {{value: string, label: string, testid: string, icon?: Node}[]} choices
 * @param {(value: string) => void} choose
 * @returns {{element: HTMLElement, update: (value: string) => void}}
 */
export function segmented(label, choices, choose) {
  const buttons = choices.map((choice) =>
    h(
      'button',
      { type: 'button', testid: choice.testid, title: choice.title ?? null, on: { click: () => choose(choice.value) } },
      choice.icon ?? null,
      h('span', { text: choice.label }),
    ),
  );
  const element = h('div', { class: 'segmented', role: 'group', 'aria-label': label }, ...buttons);
  const update = (value) =>
    choices.forEach((choice, i) => buttons[i].setAttribute('aria-pressed', String(choice.value === value)));
  return { element, update };
}
