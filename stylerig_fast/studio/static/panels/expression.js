/** Expression: units under readable names, in groups, left and right linked or not, presets, a filter. */

import { button, h, icon } from '../js/dom.js';
import { stem } from '../js/labels.js';
import { currentPerson, ownUnit, unitOf, withPart, without } from '../js/request.js';
import { section } from '../js/section.js';
import { slider } from '../js/slider.js';
import { presetChips } from './presets.js';

const GROUPS = ['mouth', 'jaw', 'eyes', 'brows', 'cheeks', 'nose', 'tongue', 'other'];
const OPEN = new Set(['mouth']);
// What is used most comes first; the rest keeps the model's order.
const FIRST = [
  'mouthSmile',
  'mouthFrown',
  'mouthPucker',
  'mouthFunnel',
  'mouthStretch',
  'mouthPress',
  'jawOpen',
  'eyeBlink',
  'eyeWide',
  'eyeSquint',
  'browInnerUp',
  'browOuterUp',
  'browDown',
  'cheekPuff',
];
const title = (text) => text[0].toUpperCase() + text.slice(1);

/**
 * Rows of the panel: a unit alone, or a left and its right.
 * @returns {{group: string, id: string, label: string, units: object[], when: 'always'|'linked'|'apart'}[]}
 */
function rowsOf(expressions) {
  const byName = new Map(expressions.map((unit) => [unit.name, unit]));
  const rows = [];
  const rank = (unit) => (FIRST.indexOf(stem(unit)) + FIRST.length + 1) % (FIRST.length + 1);
  for (const unit of [...expressions].sort((a, b) => rank(a) - rank(b))) {
    const pair = unit.side === 'left' && unit.mirror ? byName.get(unit.mirror) : null;
    const paired = pair ?? (unit.side === 'right' && byName.get(unit.mirror)?.side === 'left');
    if (pair) {
      const id = unit.name.replace(/Left$/, '');
      rows.push({ group: unit.group, id, label: unit.label, units: [unit, pair], when: 'linked' });
    }
    const label = unit.side === 'both' ? unit.label : `${unit.label}, ${unit.side}`;
    rows.push({ group: unit.group, id: unit.name, label, units: [unit], when: paired ? 'apart' : 'always' });
  }
  return rows;
}

/** @param {object} app */
export function expressionPanel(app) {
  const { store, studio } = app;
  const named = studio.expressions.filter((unit) => !unit.name.startsWith('residual_'));
  const set = (units, value, label, drag) => {
    const values = Object.fromEntries(units.map((unit) => [unit.name, value]));
    store.set({ request: withPart(store.state.request, 'expression', values) }, { label, drag });
  };
  const rows = rowsOf(named).map((row) => ({
    ...row,
    slider: slider({
      id: row.id,
      label: row.label,
      low: Math.min(0, row.units[0].low ?? 0),
      high: row.units[0].high ?? 1,
      step: 0.01,
      change: (value, drag) => set(row.units, value, row.label, drag),
      commit: () => store.commit(),
      reset: () => set(row.units, undefined, `Reset ${row.label.toLowerCase()}`, false),
    }),
  }));
  const groups = GROUPS.filter((name) => rows.some((row) => row.group === name)).map((name) => {
    const inside = rows.filter((row) => row.group === name);
    const count = h('span', { class: 'badge', hidden: true });
    const element = h(
      'details',
      { class: 'group', testid: `section-${name}`, open: OPEN.has(name) },
      h('summary', {}, icon('right'), h('span', { class: 'group-title', text: title(name) }), count),
      ...inside.map((row) => row.slider.element),
    );
    return { name, inside, count, element };
  });

  const nothing = h('p', { class: 'hint', text: 'No control has that name.', hidden: true });
  const filter = h('input', {
    type: 'search',
    class: 'filter',
    placeholder: 'Find a control',
    testid: 'filter',
    'aria-label': 'Find an expression control',
    on: { input: () => show(store.state) },
  });
  let before = null;
  const link = button({
    label: 'Link left and right',
    icon: 'link',
    bare: true,
    kind: 'toggle small',
    testid: 'link',
    on: () => store.set({ linked: !store.state.linked }),
  });
  const reset = button({
    label: 'Reset',
    kind: 'quiet',
    testid: 'reset-expression',
    on: () => store.set({ request: without(store.state.request, 'expression') }, { label: 'Reset expression' }),
  });

  /** Which rows are there: by link and by filter. A filter opens the groups it finds something in. */
  function show(state) {
    const wanted = filter.value.trim().toLowerCase();
    if (wanted && before === null) before = groups.map((group) => group.element.open);
    let found = 0;
    for (const group of groups) {
      let some = false;
      for (const row of group.inside) {
        const there =
          (row.when === 'always' || (row.when === 'linked') === state.linked) &&
          (!wanted || row.label.toLowerCase().includes(wanted) || group.name.includes(wanted));
        row.slider.element.hidden = !there;
        some ||= there;
        found += there;
      }
      group.element.hidden = !some;
      if (wanted) group.element.open = some;
    }
    nothing.hidden = found > 0;
    if (!wanted && before !== null) {
      groups.forEach((group, i) => {
        group.element.open = before[i];
      });
      before = null;
    }
    link.setAttribute('aria-pressed', String(state.linked));
    link.title = state.linked ? 'Left and right move together' : 'Left and right move on their own';
    link.replaceChildren(icon(state.linked ? 'link' : 'unlink'));
  }

  const update = (state, previous) => {
    const person = currentPerson(state);
    if (!previous || state.linked !== previous.linked) show(state);
    for (const { when, units, slider: row } of rows) {
      if (when !== 'always' && (when === 'linked') !== state.linked) continue;
      const mean = (value) => units.reduce((sum, unit) => sum + value(unit.name), 0) / units.length;
      row.update({
        value: mean((name) => unitOf(state.request, person, name, studio)),
        own: mean((name) => ownUnit(person, name, studio)),
        changed: units.some((unit) => state.request.expression?.[unit.name] !== undefined),
        reach: units[0].reach ?? null,
      });
    }
    const asked = state.request.expression ?? {};
    for (const { inside, count } of groups) {
      const changed = inside.filter((row) => row.units.length === 1 && asked[row.units[0].name] !== undefined).length;
      count.hidden = !changed;
      if (changed) {
        count.textContent = String(changed);
        count.title = `${changed} changed`;
      }
    }
    reset.disabled = !state.request.expression;
    chips.update(state);
  };
  const chips = presetChips(app);
  const element = section(
    'Expression',
    { actions: [link, reset] },
    chips.element,
    h('div', { class: 'search' }, icon('search'), filter),
    ...groups.map((group) => group.element),
    nothing,
  );
  return { element, update };
}
