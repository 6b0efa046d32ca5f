/** Combine: take pose, expression or light from another person; mix codes with another person. */

import { button, h, setText } from '../js/dom.js';
import { ANGLES, currentPerson, pruned, without } from '../js/request.js';
import { section } from '../js/section.js';
import { sourceOf, sourcePicker } from './picker.js';
import { slotPicker } from './slots.js';

/** What each control takes: the source's own parameters, as a request. */
const TAKE = {
  pose: (source) => ({ pose: Object.fromEntries(ANGLES.map((name) => [name, source.params.pose[name]])) }),
  expression: (source, studio) => ({
    expression: Object.fromEntries(
      Object.entries(studio.unitIndex).map(([name, index]) => [name, source.params.expression[index]]),
    ),
  }),
  light: (source) => ({ illumination: source.params.illumination }),
};
const LABELS = { pose: 'Pose', expression: 'Expression', light: 'Light' };

/** @param {object} app */
export function combinePanel(app) {
  const { store, studio, people } = app;
  const picker = sourcePicker(app);
  const transfer = (...controls) => {
    const { state } = store;
    const source = sourceOf(state);
    if (!source) return;
    const base = controls.includes('light') ? without(state.request, 'light') : state.request;
    const taken = Object.assign({}, ...controls.map((control) => TAKE[control](source, studio)));
    const label = controls.length === 1 ? `Take ${LABELS[controls[0]].toLowerCase()}` : 'Take everything';
    store.set({ request: pruned({ ...base, ...taken }) }, { label });
  };
  const takes = Object.keys(TAKE).map((control) =>
    button({ label: LABELS[control], testid: `transfer-${control}`, on: () => transfer(control) }),
  );
  takes.push(button({ label: 'All three', testid: 'transfer-all', on: () => transfer(...Object.keys(TAKE)) }));

  const slots = slotPicker(studio, () => update(store.state));
  const mix = button({
    label: 'Make the mix',
    kind: 'primary',
    icon: 'combine',
    testid: 'mix-apply',
    on: async () => {
      const { state } = store;
      const source = sourceOf(state);
      if (!source || !slots.chosen().length) return;
      mix.disabled = true;
      await people.mix(state.person, source.id, slots.chosen());
      update(store.state);
    },
  });
  const summary = h('p', { class: 'hint' });
  const update = (state, previous) => {
    picker.update(state, previous);
    const source = sourceOf(state);
    const person = currentPerson(state);
    const chosen = slots.chosen();
    takes.forEach((item) => {
      item.disabled = !source;
    });
    mix.disabled = !source || !chosen.length;
    if (!source || !person) setText(summary, '');
    else if (!chosen.length) setText(summary, 'Choose the slots to take.');
    else setText(summary, `${person.label}, with ${chosen.length} of ${studio.num_ws} slots of ${source.label}`);
  };
  const element = h(
    'div',
    { class: 'panel-body' },
    section('Other person', {}, picker.element),
    section(
      'Transfer',
      { hint: 'This person with what the other one has. Undo takes it back.' },
      h('div', { class: 'actions even' }, ...takes),
    ),
    section(
      'Style mixing',
      { hint: 'A new person: this one, with some of the other one’s slots.' },
      slots.element,
      summary,
      h('div', { class: 'actions' }, mix),
    ),
  );
  return { element, update };
}
