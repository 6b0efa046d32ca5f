/** The filmstrip: everybody on the page, and the way through them. */

import { button, h } from '../js/dom.js';
import { thumbnailSize } from '../js/sizes.js';

/** @param {object} app */
export function filmstrip(app) {
  const { store, api, people, studio } = app;
  const size = thumbnailSize(studio, 96);
  const strip = h('div', {
    class: 'filmstrip-people',
    role: 'listbox',
    'aria-label': 'People',
    'aria-orientation': 'horizontal',
  });
  const items = new Map();
  const hold = button({
    label: 'Hold the controls',
    icon: 'pin',
    bare: true,
    kind: 'toggle',
    testid: 'person-hold',
    title: 'Hold the controls: the next person gets what this one is asked for',
    on: () => store.set({ hold: !store.state.hold }),
  });
  const element = h(
    'div',
    { class: 'filmstrip', testid: 'filmstrip' },
    button({
      label: 'Previous person (left arrow)',
      icon: 'left',
      bare: true,
      testid: 'person-prev',
      on: () => people.step(-1),
    }),
    strip,
    button({
      label: 'Next person (right arrow)',
      icon: 'right',
      bare: true,
      testid: 'person-next',
      on: () => people.step(1),
    }),
    button({ label: 'Random person (R)', icon: 'plus', bare: true, testid: 'person-random', on: () => people.add() }),
    hold,
  );

  function make(person) {
    const image = h('img', { alt: '', width: 56, height: 56, draggable: 'false', loading: 'lazy', decoding: 'async' });
    const item = h(
      'button',
      {
        type: 'button',
        class: 'thumb',
        role: 'option',
        testid: `person-${person.id}`,
        on: { click: () => people.select(person.id) },
      },
      image,
    );
    return { item, image, remote: null };
  }

  const update = (state, previous) => {
    if (
      previous &&
      state.people === previous.people &&
      state.person === previous.person &&
      state.requests === previous.requests &&
      state.hold === previous.hold &&
      state.session === previous.session
    )
      return;
    const ids = new Set(state.people.map((person) => person.id));
    for (const [id, { item }] of items) {
      if (!ids.has(id)) {
        item.remove();
        items.delete(id);
      }
    }
    for (const person of state.people) {
      if (!items.has(person.id)) {
        items.set(person.id, make(person));
        strip.append(items.get(person.id).item);
      }
      const entry = items.get(person.id);
      if (state.session && person.remote && entry.remote !== person.remote + state.session) {
        entry.remote = person.remote + state.session;
        entry.image.src = api.pictureAddress(person.remote, size);
      }
      const current = person.id === state.person;
      const edited = Object.keys(state.requests[person.id] ?? {}).length > 0;
      entry.item.setAttribute('aria-selected', String(current));
      entry.item.tabIndex = current ? 0 : -1;
      entry.item.classList.toggle('edited', edited);
      const name = `${person.label}${edited ? ', edited' : ''}`;
      entry.item.setAttribute('aria-label', name);
      entry.item.title = `${person.detail ?? name}${edited ? ' (edited)' : ''}`;
    }
    hold.setAttribute('aria-pressed', String(state.hold));
    if (!previous || state.person !== previous.person || state.people.length !== previous.people.length) {
      reveal(items.get(state.person)?.item);
    }
  };

  /** Scrolls the strip alone: scrollIntoView would also move the page on a phone. */
  function reveal(item) {
    if (!item) return;
    const middle = item.offsetLeft - strip.offsetLeft + item.offsetWidth / 2;
    strip.scrollTo({ left: middle - strip.clientWidth / 2, behavior: 'smooth' });
    if (strip.contains(document.activeElement)) item.focus({ preventScroll: true });
  }

  return { element, update };
}
