/** The inspector: tabs of panels. On a phone the timeline is a tab as well. */

import { button, h, icon } from '../js/dom.js';
import { isEdited } from '../js/request.js';
import { combinePanel } from './combine.js';
import { expressionPanel } from './expression.js';
import { gridPanel } from './grid.js';
import { lightPanel } from './light.js';
import { peoplePanel } from './people.js';
import { posePanel } from './pose.js';

const TABS = [
  { id: 'rig', label: 'Rig', icon: 'sliders' },
  { id: 'people', label: 'People', icon: 'people' },
  { id: 'combine', label: 'Combine', icon: 'combine' },
  { id: 'grid', label: 'Grid', icon: 'grid' },
  { id: 'timeline', label: 'Timeline', icon: 'timeline' },
];

/**
 * @param {object} app
 * @param {HTMLElement} stage where the grid's sheet is laid.
 */
export function inspectorOf(app, stage) {
  const { store } = app;
  const rig = rigPanel(app);
  const panels = { rig, people: peoplePanel(app), combine: combinePanel(app), grid: gridPanel(app, stage) };
  const tabs = TABS.map(({ id, label, icon: name }) =>
    h(
      'button',
      {
        type: 'button',
        class: `tab tab-${id}`,
        role: 'tab',
        id: `tab-${id}`,
        testid: `tab-${id}`,
        'aria-controls': id === 'timeline' ? null : `panel-${id}`,
        on: { click: () => store.set({ tab: id }) },
      },
      icon(name),
      h('span', { text: label }),
    ),
  );
  const list = h(
    'div',
    {
      class: 'tabs',
      role: 'tablist',
      'aria-label': 'Panels',
      on: {
        keydown: (event) => {
          const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
          if (!step) return;
          event.preventDefault();
          const there = tabs.filter((tab) => tab.offsetParent !== null);
          const next = there[(there.indexOf(document.activeElement) + step + there.length) % there.length];
          next.click();
          next.focus();
        },
      },
    },
    ...tabs,
  );
  const bodies = Object.entries(panels).map(([id, panel]) =>
    h(
      'div',
      { class: 'panel', role: 'tabpanel', id: `panel-${id}`, 'aria-labelledby': `tab-${id}`, tabindex: -1 },
      panel.element,
    ),
  );
  const element = h('aside', { class: 'inspector', 'aria-label': 'Controls' }, list, ...bodies);

  const update = (state, previous) => {
    if (!previous || state.tab !== previous.tab) {
      tabs.forEach((tab, i) => {
        const on = TABS[i].id === state.tab;
        tab.setAttribute('aria-selected', String(on));
        tab.tabIndex = on ? 0 : -1;
      });
      Object.keys(panels).forEach((id, i) => bodies[i].classList.toggle('chosen', id === state.tab));
      document.body.dataset.tab = state.tab;
      // What was hidden has not been kept up to date.
      panels[state.tab]?.update(state, null);
    } else panels[state.tab]?.update(state, previous);
  };
  return { element, update, lightBall: rig.lightBall };
}

function rigPanel(app) {
  const { store } = app;
  const parts = [posePanel(app), lightPanel(app), expressionPanel(app)];
  const all = button({
    label: 'Reset all',
    icon: 'reset',
    testid: 'reset-all',
    on: () => store.set({ request: {} }, { label: 'Reset all' }),
  });
  const element = h(
    'div',
    { class: 'panel-body rig' },
    ...parts.map((part) => part.element),
    h('footer', { class: 'panel-foot' }, all),
  );
  const update = (state, previous) => {
    const same =
      previous &&
      state.request === previous.request &&
      state.linked === previous.linked &&
      state.person === previous.person &&
      state.people === previous.people;
    if (same) return;
    parts.forEach((part) => part.update(state, previous));
    all.disabled = !isEdited(state.request);
  };
  return { element, update, lightBall: parts[1].ball };
}
