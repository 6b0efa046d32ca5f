/** The track of the timeline: ruler, keys that can be moved, playhead. */

import { h } from '../js/dom.js';
import { inWords } from '../js/request.js';

const STEP = 0.05;
const STEPS = [0.1, 0.25, 0.5, 1, 2, 5, 10];
const MOST_TICKS = 10;

export const seconds = (time) => time.toFixed(2);
const snapped = (time) => Math.round(time / STEP) * STEP;

/** @param {object} app */
export function trackOf(app) {
  const { store, playback, studio } = app;
  const ruler = h('div', { class: 'ruler', 'aria-hidden': 'true' });
  const lane = h('div', { class: 'lane' });
  const playhead = h('div', { class: 'playhead', 'aria-hidden': 'true' });
  const line = () => store.state.timeline;
  const scrub = h(
    'div',
    {
      class: 'scrub',
      role: 'slider',
      tabindex: 0,
      testid: 'timeline-time',
      'aria-label': 'Playhead, seconds',
      'aria-valuemin': 0,
    },
    ruler,
    lane,
    playhead,
  );
  const timeAt = (event) => {
    const box = lane.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * line().duration;
  };
  const scrubTo = (event) => {
    playback.pause();
    playback.seek(event.altKey ? timeAt(event) : snapped(timeAt(event)));
  };
  scrub.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || event.target.closest('.timeline-key')) return;
    scrub.setPointerCapture(event.pointerId);
    scrubTo(event);
  });
  scrub.addEventListener('pointermove', (event) => {
    if (scrub.hasPointerCapture(event.pointerId)) scrubTo(event);
  });
  scrub.addEventListener('keydown', (event) => {
    if (event.target !== scrub) return;
    const { time, duration, keys } = line();
    const next = {
      ArrowLeft: time - STEP,
      ArrowRight: time + STEP,
      Home: 0,
      End: duration,
      PageUp: keys.find((key) => key.time > time + 1e-3)?.time ?? duration,
      PageDown: keys.findLast((key) => key.time < time - 1e-3)?.time ?? 0,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    playback.pause();
    playback.seek(next);
  });

  let dragged = null;
  const indexOf = (element) => [...lane.children].indexOf(element);
  lane.addEventListener('pointerdown', (event) => {
    const key = event.target.closest('.timeline-key');
    if (!key || event.button !== 0) return;
    event.stopPropagation();
    lane.setPointerCapture(event.pointerId);
    dragged = { index: indexOf(key), from: event.clientX, moved: false };
    playback.pause();
    playback.seek(line().keys[dragged.index].time);
  });
  lane.addEventListener('pointermove', (event) => {
    if (!dragged || !lane.hasPointerCapture(event.pointerId)) return;
    if (!dragged.moved && Math.abs(event.clientX - dragged.from) < 4) return;
    dragged.moved = true;
    const time = snapped(timeAt(event));
    dragged.index = playback.moveKey(dragged.index, time, true);
    playback.seek(time);
  });
  const drop = () => {
    if (dragged?.moved) store.commit();
    dragged = null;
  };
  lane.addEventListener('lostpointercapture', drop);
  lane.addEventListener('keydown', (event) => {
    const index = indexOf(event.target.closest('.timeline-key'));
    if (index < 0) return;
    const key = line().keys[index];
    if (event.key === 'Delete' || event.key === 'Backspace') playback.deleteKey(index);
    else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
      const time = key.time + (event.key === 'ArrowLeft' ? -STEP : STEP);
      const now = playback.moveKey(index, time, false);
      playback.seek(line().keys[now].time);
      lane.children[now]?.focus();
    } else if (event.key === 'Enter') playback.seek(key.time);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function ticks(duration) {
    const step = STEPS.find((value) => duration / value <= MOST_TICKS) ?? STEPS.at(-1);
    const marks = [];
    for (let i = 0; i * step <= duration + 1e-6; i++) {
      const tick = h('span', { class: 'tick', text: `${Number((i * step).toFixed(2))}` });
      tick.style.left = `${(100 * i * step) / duration}%`;
      marks.push(tick);
    }
    ruler.replaceChildren(...marks);
  }

  const update = (state, previous) => {
    const { keys, duration, time } = state.timeline;
    if (!previous || duration !== previous.timeline.duration) {
      ticks(duration);
      scrub.setAttribute('aria-valuemax', String(duration));
    }
    if (!previous || keys !== previous.timeline.keys || duration !== previous.timeline.duration) {
      while (lane.children.length > keys.length) lane.lastChild.remove();
      while (lane.children.length < keys.length) {
        lane.append(
          h('button', { type: 'button', class: 'timeline-key', testid: `timeline-key-${lane.children.length}` }),
        );
      }
      keys.forEach((key, i) => {
        const element = lane.children[i];
        element.style.left = `${(100 * key.time) / duration}%`;
        element.title = `${seconds(key.time)} s: ${inWords(key.request, studio)}`;
        element.setAttribute('aria-label', `Key at ${seconds(key.time)} s. Arrows move it, Delete deletes it.`);
      });
    }
    const here = playback.keyHere();
    [...lane.children].forEach((element, i) => element.classList.toggle('here', i === here));
    playhead.style.left = `${(100 * time) / duration}%`;
    scrub.setAttribute('aria-valuenow', time.toFixed(2));
    scrub.setAttribute('aria-valuetext', `${seconds(time)} seconds`);
  };
  return { element: h('div', { class: 'track-area' }, scrub), update };
}
