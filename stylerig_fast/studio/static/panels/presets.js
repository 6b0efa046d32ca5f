/** Presets of expressions. */

import { h } from '../js/dom.js';
import { pruned } from '../js/request.js';

const title = (name) => {
  const words = name
    .replaceAll(/[_-]/g, ' ')
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase();
  return words[0].toUpperCase() + words.slice(1);
};

const same = (a = {}, b = {}) => {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
};

/** Buttons that replace the expression by a preset's; pressed again, they give the own one back. */
export function presetChips({ store, studio }) {
  const chips = Object.entries(studio.presets?.expressions ?? {}).map(([name, units]) => {
    const element = h('button', {
      type: 'button',
      class: 'chip',
      testid: `preset-${name}`,
      text: title(name),
      on: { click: () => choose(name, units) },
    });
    return { element, units };
  });
  function choose(name, units) {
    const { request } = store.state;
    const expression = same(request.expression, units) ? undefined : { ...units };
    store.set({ request: pruned({ ...request, expression }) }, { label: title(name) });
  }
  return {
    element: h('div', { class: 'chips', role: 'group', 'aria-label': 'Presets' }, ...chips.map((chip) => chip.element)),
    update(state) {
      for (const { element, units } of chips) {
        element.setAttribute('aria-pressed', String(same(state.request.expression, units)));
      }
    },
  };
}
