/** A slider row: label, track with the reachable range and the person's own value, number, reset. */

import { h, icon } from './dom.js';

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/**
 * @param {object} options
 * @param {string} options.id stable, for tests: `slider-<id>`.
 * @param {string} options.label
 * @param {number} options.low
 * @param {number} options.high
 * @param {number} options.step
 * @param {number} [options.digits] behind the point.
 * @param {string} [options.unit] shown behind the number, for example '°'.
 * @param {string} [options.hint] tooltip of the label.
 * @param {(value: number, drag: boolean) => void} options.change
 * @param {() => void} options.commit the hand let go.
 * @param {() => void} [options.reset] back to the person's own value; no reset without.
 * @returns {{element: HTMLElement, update: (state: {value: number, own?: number, changed?: boolean,
 *   reach?: number[]|null}) => void}}
 */
export function slider({ id, label, low, high, step, digits = 2, unit = '', hint, change, commit, reset }) {
  const fraction = (value) => clamp((value - low) / (high - low), 0, 1);
  const name = h('label', {
    class: 'slider-label',
    for: `range-${id}`,
    text: label,
    testid: `label-${id}`,
    title: hint ?? (reset ? `${label}: double click for the person's own value` : label),
    on: reset
      ? {
          dblclick: (event) => {
            event.preventDefault();
            reset();
          },
        }
      : {},
  });
  const range = h('input', {
    type: 'range',
    id: `range-${id}`,
    min: low,
    max: high,
    step,
    testid: `slider-${id}`,
    on: {
      input: () => change(Number(range.value), true),
      change: commit,
      dblclick: () => reset?.(),
    },
  });
  const field = h('input', {
    type: 'number',
    class: 'slider-value',
    min: low,
    max: high,
    step,
    testid: `value-${id}`,
    'aria-label': `${label}, value`,
    inputmode: 'decimal',
    on: {
      change: () => {
        const value = Number(field.value);
        if (field.value !== '' && Number.isFinite(value)) change(clamp(value, low, high), false);
        shown.value = undefined;
        update(shown.last);
      },
      keydown: (event) => {
        if (event.key === 'Enter') field.blur();
      },
      focus: () => field.select(),
    },
  });
  const resetButton = reset
    ? h(
        'button',
        {
          type: 'button',
          class: 'slider-reset',
          title: `Reset ${label.toLowerCase()}`,
          testid: `reset-${id}`,
          'aria-label': `Reset ${label.toLowerCase()}`,
          on: { click: reset },
        },
        icon('reset'),
      )
    : null;
  const track = h(
    'span',
    { class: 'track', 'aria-hidden': 'true' },
    h('span', { class: 'track-reach' }),
    h('span', { class: 'track-fill' }),
    h('span', { class: 'track-own' }),
  );
  const element = h(
    'div',
    { class: reset ? 'slider' : 'slider plain' },
    name,
    h('span', { class: 'slider-range' }, track, range),
    h(
      'span',
      { class: 'slider-number' },
      field,
      unit ? h('span', { class: 'unit', text: unit, 'aria-hidden': 'true' }) : null,
    ),
    resetButton,
  );
  const shown = { value: undefined, own: undefined, changed: undefined, reach: undefined, last: null };

  function update(next) {
    const { value, own, changed = false, reach = null } = next;
    shown.last = next;
    if (value !== shown.value) {
      shown.value = value;
      range.value = String(value);
      // No minus before a zero.
      const text = (Number(value.toFixed(digits)) || 0).toFixed(digits);
      if (document.activeElement !== field) field.value = text;
      range.setAttribute('aria-valuetext', `${text}${unit}`);
    }
    if (own !== shown.own || value !== shown.drawn) {
      shown.own = own;
      shown.drawn = value;
      const from = fraction(own ?? Math.max(low, Math.min(0, high)));
      const to = fraction(value);
      element.style.setProperty('--from', Math.min(from, to));
      element.style.setProperty('--to', Math.max(from, to));
      element.style.setProperty('--own', from);
      if (own !== undefined) range.dataset.own = own.toFixed(3);
    }
    if (changed !== shown.changed) {
      shown.changed = changed;
      element.classList.toggle('changed', changed);
      if (reset) resetButton.tabIndex = changed ? 0 : -1;
    }
    if (reach !== shown.reach) {
      shown.reach = reach;
      element.classList.toggle('has-reach', Boolean(reach));
      if (reach) {
        element.style.setProperty('--reach-low', fraction(reach[0]));
        element.style.setProperty('--reach-high', fraction(reach[1]));
        range.dataset.reachLow = String(reach[0]);
        range.dataset.reachHigh = String(reach[1]);
      }
    }
    const beyond = Boolean(reach && changed && (value < reach[0] - 1e-6 || value > reach[1] + 1e-6));
    if (beyond !== shown.beyond) {
      shown.beyond = beyond;
      element.classList.toggle('beyond', beyond);
      field.title = beyond ? `Beyond what the rig was seen to reach (${reach[0]}${unit} to ${reach[1]}${unit})` : '';
    }
  }

  return { element, update };
}
