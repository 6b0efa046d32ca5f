/** When the page is ready: the first picture is shown, and everybody is there. */

const PARTS = ['picture', 'people'];
const done = new Set();

/** @param {'picture'|'people'} part */
export function ready(part) {
  done.add(part);
  if (PARTS.every((name) => done.has(name))) document.body.dataset.ready = 'true';
}
