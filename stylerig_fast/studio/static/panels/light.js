/** Light: direction on the ball; the person's own light turned, or a new one of two colours. */

import { button, h } from '../js/dom.js';
import { halves } from '../js/interpolate.js';
import { currentPerson, withPart, without } from '../js/request.js';
import { section, segmented } from '../js/section.js';
import { slider } from '../js/slider.js';

const LABELS = { colour: 'Key light', ambient: 'Ambient' };
const BRIGHTEST = 2;

const toHex = (rgb) => {
  const top = Math.max(...rgb, 1e-6);
  return `#${rgb
    .map((value) =>
      Math.round((255 * value) / top)
        .toString(16)
        .padStart(2, '0'),
    )
    .join('')}`;
};
const fromHex = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16) / 255);
const scaled = (rgb, brightness) => {
  const top = Math.max(...rgb, 1e-6);
  return rgb.map((value) => (value / top) * brightness);
};

/** @param {object} app */
export function lightPanel(app) {
  const { store, studio } = app;
  const setLight = (values, label, drag = false) =>
    store.set({ request: withPart(without(store.state.request, 'illumination'), 'light', values) }, { label, drag });
  const strength = slider({
    id: 'light-strength',
    label: 'Strength',
    low: 0,
    high: 1,
    step: 0.01,
    hint: 'How much of the light comes from one direction',
    change: (value, drag) => setLight({ strength: value }, 'Light strength', drag),
    commit: () => store.commit(),
    reset: () => setLight({ strength: undefined }, 'Reset light strength'),
  });
  const colours = Object.fromEntries(Object.entries(LABELS).map(([name, label]) => [name, colourRow(name, label)]));
  const mode = segmented(
    'Kind of light',
    [
      {
        value: 'turn',
        label: 'Own light',
        testid: 'light-mode-turn',
        title: "The person's light from another direction",
      },
      { value: 'new', label: 'New light', testid: 'light-mode-new', title: 'A light of two colours in its place' },
    ],
    (value) => {
      if (value === 'turn') setLight({ colour: undefined, ambient: undefined }, 'Own light');
      else {
        const half = halves(currentPerson(store.state));
        setLight({ colour: half, ambient: half, strength: undefined }, 'New light');
      }
    },
  );
  const ball = h('div', { class: 'light-ball-holder' });
  const taken = h('p', {
    class: 'hint',
    text: 'Set as a whole, by a transfer or between keys. A change here starts from the own light.',
  });
  const reset = button({
    label: 'Reset',
    kind: 'quiet',
    testid: 'reset-light',
    on: () => store.set({ request: without(store.state.request, 'light', 'illumination') }, { label: 'Reset light' }),
  });

  function colourRow(name, label) {
    const current = () => store.state.request.light?.[name] ?? halves(currentPerson(store.state));
    const swatch = h('input', {
      type: 'color',
      testid: `light-${name}`,
      'aria-label': `${label}, colour`,
      title: `${label}: colour`,
      on: {
        input: () => setLight({ [name]: scaled(fromHex(swatch.value), Math.max(...current())) }, label, true),
        change: () => store.commit(),
      },
    });
    const row = slider({
      id: `light-${name}`,
      label,
      low: 0,
      high: BRIGHTEST,
      step: 0.01,
      hint: `${label}: brightness`,
      change: (value, drag) => setLight({ [name]: scaled(fromHex(swatch.value), value) }, label, drag),
      commit: () => store.commit(),
    });
    row.element.classList.add('with-swatch');
    row.element.firstChild.prepend(swatch);
    return {
      element: row.element,
      update(rgb) {
        if (Math.max(...rgb) > 0 && document.activeElement !== swatch) swatch.value = toHex(rgb);
        row.update({ value: Math.max(...rgb) });
      },
    };
  }

  const update = (state) => {
    const person = currentPerson(state);
    const { light, illumination } = state.request;
    const isNew = Boolean(light?.colour || light?.ambient);
    mode.update(isNew ? 'new' : 'turn');
    strength.element.hidden = isNew;
    Object.values(colours).forEach((row) => {
      row.element.hidden = !isNew;
    });
    const own = person?.params.light?.strength ?? 0;
    strength.update({
      value: light ? (light.strength ?? studio.default_light_strength) : own,
      own,
      changed: light?.strength !== undefined,
    });
    if (isNew && person) {
      const half = halves(person);
      for (const name of Object.keys(LABELS)) colours[name].update(light[name] ?? half);
    }
    taken.hidden = !illumination;
    reset.disabled = !light && !illumination;
  };
  const element = section(
    'Light',
    { actions: [reset] },
    h(
      'div',
      { class: 'light' },
      ball,
      h(
        'div',
        { class: 'light-controls' },
        mode.element,
        strength.element,
        colours.colour.element,
        colours.ambient.element,
        taken,
      ),
    ),
  );
  return { element, update, ball };
}
