/** Choosing another person by face. */

import { h } from '../js/dom.js';
import { thumbnailSize } from '../js/sizes.js';

/**
 * Thumbnails of everybody but the person that is shown; the choice is `state.source`.
 * @param {object} app
 */
export function sourcePicker(app) {
  const { store, api, studio } = app;
  const element = h('div', { class: 'picker', role: 'radiogroup', 'aria-label': 'Other person', testid: 'source' });
  const choose = (id) => store.set({ source: id });
  element.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...element.children];
    const index = items.findIndex((item) => item.getAttribute('aria-checked') === 'true');
    const next = items[(index + step + items.length) % items.length];
    next.click();
    element.querySelector('[aria-checked=true]')?.focus();
  });

  const update = (state, previous) => {
    if (
      previous &&
      state.people === previous.people &&
      state.person === previous.person &&
      state.source === previous.source &&
      state.session === previous.session
    )
      return;
    const others = state.people.filter((person) => person.id !== state.person);
    const chosen = sourceOf(state)?.id;
    const hadFocus = element.contains(document.activeElement);
    element.replaceChildren(
      ...others.map((person) =>
        h(
          'button',
          {
            type: 'button',
            class: 'thumb small',
            role: 'radio',
            'aria-checked': String(person.id === chosen),
            tabindex: person.id === chosen ? 0 : -1,
            'aria-label': person.label,
            title: person.detail,
            testid: `source-${person.id}`,
            on: { click: () => choose(person.id) },
          },
          person.remote && state.session
            ? h('img', {
                src: api.pictureAddress(person.remote, thumbnailSize(studio, 96)),
                alt: '',
                width: 48,
                height: 48,
                draggable: 'false',
                decoding: 'async',
              })
            : null,
        ),
      ),
    );
    if (!others.length) element.append(h('p', { class: 'hint', text: 'Add a second person first.' }));
    if (hadFocus) element.querySelector('[aria-checked=true]')?.focus({ preventScroll: true });
  };
  return { element, update };
}

/** The other person: the chosen one, or the next in the gallery; undefined when there is nobody else. */
export function sourceOf(state) {
  const others = state.people.filter((person) => person.id !== state.person);
  const chosen = others.find((person) => person.id === state.source);
  if (chosen || !others.length) return chosen;
  const index = state.people.findIndex((person) => person.id === state.person);
  return state.people[(index + 1) % state.people.length];
}
