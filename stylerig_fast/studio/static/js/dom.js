/** Making elements. Text is only ever set as text, so that no label can become markup. */

import { ICONS } from './icons.js';

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An element.
 * @param {string} tag
 * @param {object} [properties] attributes, and `testid`, `on: {event: listener}`, `text`; false and null are left out.
 * @param {...(Node|string|null)} children
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === 'on') Object.entries(value).forEach(([event, listener]) => element.addEventListener(event, listener));
    else if (name === 'text') element.textContent = value;
    else if (name === 'testid') element.dataset.testid = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** One of the icons of icons.js, 16 px, in the colour of the text. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of Object.entries({
    viewBox: '0 0 16 16',
    width: 16,
    height: 16,
    fill: 'none',
    stroke: 'currentColor',
    'stroke-width': 1.5,
    'stroke-linecap': 'round',
    'stroke-linejoin': 'round',
    'aria-hidden': 'true',
    class: 'icon',
  }))
    svg.setAttribute(key, value);
  for (const d of ICONS[name]) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}

/**
 * A button.
 * @param {object} options
 * @param {string} [options.label] its text; with `icon` alone it becomes the accessible name.
 * @param {string} [options.icon]
 * @param {boolean} [options.bare] show the icon only.
 * @param {string} [options.title] the tooltip; the label by default for bare buttons.
 */
export function button({ label, icon: name, bare = false, title, testid, kind = '', on, ...rest }) {
  return h(
    'button',
    {
      type: 'button',
      testid,
      class: ['button', kind, bare ? 'bare' : ''].filter(Boolean).join(' '),
      title: title ?? (bare ? label : null),
      'aria-label': bare ? label : null,
      on: typeof on === 'function' ? { click: on } : on,
      ...rest,
    },
    name ? icon(name) : null,
    bare ? null : h('span', { text: label }),
  );
}

/** Starts a download of a Blob or an address of this server. */
export function download(source, name) {
  const address = typeof source === 'string' ? source : URL.createObjectURL(source);
  const link = h('a', { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  if (typeof source !== 'string') setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Sets an attribute, text or class only where it differs: most updates change nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
