/** The timeline: ruler, keys, playhead, and the buttons around them. */

import { button, h, icon, setText } from '../js/dom.js';
import { segmented } from '../js/section.js';
import { seconds, trackOf } from './track.js';

/**
 * @param {object} app
 * @param {() => void} openExport
 */
export function timelinePanel(app, openExport) {
  const { store, playback } = app;
  const play = button({
    label: 'Play (space)',
    icon: 'play',
    bare: true,
    testid: 'timeline-play',
    on: () => playback.toggle(),
  });
  const time = h('output', { class: 'clock', testid: 'timeline-clock' });
  const add = button({
    label: 'Add key',
    icon: 'key',
    title: 'Keep what the face does now as a key here (K)',
    testid: 'timeline-add-key',
    on: () => playback.addKey(),
  });
  const remove = button({
    label: 'Delete key',
    icon: 'keyOff',
    bare: true,
    testid: 'timeline-delete-key',
    on: () => playback.deleteKey(),
  });
  const clear = button({
    label: 'Clear all keys',
    icon: 'trash',
    bare: true,
    testid: 'timeline-clear',
    on: () => playback.clear(),
  });
  const loop = button({
    label: 'Loop',
    icon: 'loop',
    bare: true,
    kind: 'toggle',
    testid: 'timeline-loop',
    on: () => playback.setLoop(!store.state.timeline.loop),
  });
  const easing = segmented(
    'Between the keys',
    [
      {
        value: 'smooth',
        label: 'Smooth',
        testid: 'timeline-easing-smooth',
        title: 'Slow at the keys, fast between them',
      },
      { value: 'linear', label: 'Linear', testid: 'timeline-easing-linear', title: 'The same speed all the way' },
    ],
    (value) => playback.setEasing(value),
  );
  const duration = h('input', {
    type: 'number',
    class: 'input short',
    min: 0.5,
    max: 60,
    step: 0.5,
    testid: 'timeline-duration',
    'aria-label': 'Duration in seconds',
    title: 'Duration in seconds',
    on: {
      change: () => {
        const value = Number(duration.value);
        if (value >= 0.5 && value <= 60) playback.setDuration(value);
        duration.value = String(store.state.timeline.duration);
      },
    },
  });
  const exporting = button({
    label: 'Export',
    icon: 'film',
    testid: 'export-open',
    title: 'Export the timeline as GIF or MP4',
    on: openExport,
  });
  const toggle = button({
    label: 'Timeline',
    icon: 'up',
    kind: 'quiet timeline-toggle',
    testid: 'timeline-toggle',
    on: () => store.set({ timeline: { ...store.state.timeline, open: !store.state.timeline.open } }),
  });
  const track = trackOf(app);
  const hint = h('p', {
    class: 'hint timeline-hint',
    text: 'Pose the face and add a key. Move the playhead, change something, add the next.',
  });
  const body = h('div', { class: 'timeline-body' }, track.element, hint);
  const group = (...children) => h('div', { class: 'group-buttons' }, ...children);
  const tools = h(
    'div',
    { class: 'timeline-tools' },
    group(play, time),
    group(add, remove, clear),
    group(easing.element, loop),
    group(
      h(
        'label',
        { class: 'field-inline' },
        h('span', { text: 'Length' }),
        duration,
        h('span', { class: 'unit', text: 's' }),
      ),
    ),
    group(exporting),
  );
  const element = h(
    'section',
    { class: 'timeline', testid: 'timeline', 'aria-label': 'Timeline' },
    h('header', { class: 'timeline-head' }, toggle, tools),
    body,
  );

  const update = (state, previous) => {
    const line = state.timeline;
    if (previous && line === previous.timeline && state.person === previous.person) return;
    const { keys, playing, open } = line;
    element.classList.toggle('open', open);
    toggle.setAttribute('aria-expanded', String(open));
    setText(time, `${seconds(line.time)} / ${seconds(line.duration)} s`);
    if (!previous || previous.timeline.playing !== playing) {
      play.replaceChildren(icon(playing ? 'pause' : 'play'));
      play.setAttribute('aria-label', playing ? 'Pause (space)' : 'Play (space)');
      play.title = play.getAttribute('aria-label');
    }
    const here = playback.keyHere();
    play.disabled = !keys.length;
    remove.disabled = here < 0;
    clear.disabled = !keys.length;
    exporting.disabled = !keys.length;
    setText(add.querySelector('span'), here < 0 ? 'Add key' : 'Update key');
    loop.setAttribute('aria-pressed', String(line.loop));
    easing.update(line.easing);
    if (document.activeElement !== duration) duration.value = String(line.duration);
    hint.hidden = keys.length > 1;
    track.update(state, previous);
  };
  return { element, update };
}
