/** People: new ones from seeds, and what is known of the one that is shown. */

import { button, h, setText } from '../js/dom.js';
import { currentPerson, inWords, ownUnit } from '../js/request.js';
import { field, section } from '../js/section.js';
import { slider } from '../js/slider.js';

const LARGEST_SEED = 2 ** 31 - 1;

/** @param {object} app */
export function peoplePanel(app) {
  const { store, people, studio } = app;
  let psi = 0.7;
  const seed = h('input', {
    type: 'number',
    class: 'input',
    min: 0,
    max: LARGEST_SEED,
    step: 1,
    placeholder: 'Random',
    testid: 'seed',
    inputmode: 'numeric',
    on: {
      keydown: (event) => {
        if (event.key === 'Enter') add();
      },
    },
  });
  const truncation = slider({
    id: 'psi',
    label: 'Truncation',
    low: 0,
    high: 1,
    step: 0.05,
    hint: '0: the average face. 1: everybody the generator knows',
    change: (value) => {
      psi = value;
      truncation.update({ value });
    },
    commit: () => {},
  });
  truncation.update({ value: psi });
  truncation.element.querySelector('input[type=range]').dataset.testid = 'psi';

  async function add() {
    const given = seed.value.trim();
    const number = Number(given);
    if (given && !(Number.isInteger(number) && number >= 0 && number <= LARGEST_SEED)) {
      app.notify(`A seed is a whole number from 0 to ${LARGEST_SEED}`, 'error');
      return;
    }
    await people.add(given ? { seed: number, psi } : { psi });
  }

  async function addSix() {
    six.disabled = true;
    for (let i = 0; i < 6; i++) {
      if (!(await people.add({ psi, select: i === 0 }))) break;
    }
    six.disabled = false;
  }

  const six = button({ label: 'Add six', testid: 'person-add-six', on: addSix });
  const name = h('p', { class: 'person-name' });
  const detail = h('p', { class: 'hint' });
  const own = h('dl', { class: 'facts' });
  const remove = button({
    label: 'Remove',
    kind: 'quiet',
    testid: 'person-remove',
    on: () => people.remove(store.state.person),
  });

  const element = h(
    'div',
    { class: 'panel-body' },
    section(
      'New person',
      { hint: 'The same seed and truncation always give the same person.' },
      field('Seed', seed, { id: 'seed' }),
      truncation.element,
      h(
        'div',
        { class: 'actions' },
        button({ label: 'Add person', kind: 'primary', icon: 'plus', testid: 'person-add', on: add }),
        six,
      ),
    ),
    section('This person', { actions: [remove] }, name, detail, own),
  );

  const update = (state, previous) => {
    if (previous && state.people === previous.people && state.person === previous.person) return;
    const person = currentPerson(state);
    remove.disabled = state.people.length < 2;
    if (!person) return;
    setText(name, person.label);
    setText(detail, person.detail ?? '');
    const { pose, light } = person.params;
    const degrees = (value) => `${value.toFixed(1)}°`;
    const rows = {
      Pose: `yaw ${degrees(pose.yaw)}, pitch ${degrees(pose.pitch)}, roll ${degrees(pose.roll)}`,
      Light: light ? `${Math.round(100 * light.strength)} % directional, from ${whence(light.direction)}` : 'not known',
    };
    const strongest = studio.expressions
      .filter((unit) => unit.side !== 'right' && !unit.name.startsWith('residual_'))
      .map((unit) => ({ name: unit.name, value: ownUnit(person, unit.name, studio) }))
      .sort((a, b) => b.value - a.value)
      .slice(0, 3)
      .filter((unit) => unit.value > 0.1);
    const seen = Object.fromEntries(strongest.map((unit) => [unit.name, unit.value]));
    rows.Expression = strongest.length ? inWords({ expression: seen }, studio).replaceAll('left ', '') : 'at rest';
    own.replaceChildren(
      ...Object.entries(rows).flatMap(([term, text]) => [h('dt', { text: term }), h('dd', { text })]),
    );
  };
  return { element, update };
}

/** A direction in words, as seen in the picture. */
function whence([x, y, z]) {
  const words = [];
  if (y > 0.25) words.push('above');
  if (y < -0.25) words.push('below');
  if (x > 0.25) words.push('the right');
  if (x < -0.25) words.push('the left');
  if (!words.length) words.push(z < 0 ? 'behind' : 'the front');
  return words.join(' and ');
}
