/** Pose: yaw, pitch, roll. */

import { button } from '../js/dom.js';
import { ANGLES, angleOf, currentPerson, withPart, without } from '../js/request.js';
import { section } from '../js/section.js';
import { slider } from '../js/slider.js';

const ROWS = {
  yaw: { label: 'Yaw', span: 60, hint: 'Turns the nose to the right edge of the picture' },
  pitch: { label: 'Pitch', span: 40, hint: 'Lifts the chin' },
  roll: { label: 'Roll', span: 45, hint: 'Tips the head to the right; the picture itself is turned' },
};

/** @param {object} app */
export function posePanel(app) {
  const { store, studio } = app;
  const change = (name, value, drag) =>
    store.set({ request: withPart(store.state.request, 'pose', { [name]: value }) }, { label: ROWS[name].label, drag });
  const rows = ANGLES.map((name) =>
    slider({
      id: name,
      label: ROWS[name].label,
      low: -ROWS[name].span,
      high: ROWS[name].span,
      step: 0.5,
      digits: 1,
      unit: '°',
      hint: `${ROWS[name].hint}. Double click: the person's own`,
      change: (value, drag) => change(name, value, drag),
      commit: () => store.commit(),
      reset: () => change(name, undefined, false),
    }),
  );
  const reset = button({
    label: 'Reset',
    kind: 'quiet',
    testid: 'reset-pose',
    on: () => store.set({ request: without(store.state.request, 'pose') }, { label: 'Reset pose' }),
  });
  const update = (state) => {
    const person = currentPerson(state);
    ANGLES.forEach((name, i) =>
      rows[i].update({
        value: angleOf(state.request, person, name),
        own: person?.params.pose[name] ?? 0,
        changed: state.request.pose?.[name] !== undefined,
        // Roll turns the picture: there is no angle that it cannot reach.
        reach: studio.reach?.angles?.[name] ?? null,
      }),
    );
    reset.disabled = !state.request.pose;
  };
  return { element: section('Pose', { actions: [reset] }, ...rows.map((row) => row.element)), update };
}
