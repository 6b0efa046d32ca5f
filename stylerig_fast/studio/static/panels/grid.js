/** The conditional grid: what this person is asked for, on new people. */

import { button, h, setText } from '../js/dom.js';
import { inWords, isEdited, rounded } from '../js/request.js';
import { field, section } from '../js/section.js';
import { thumbnailSize } from '../js/sizes.js';
import { slider } from '../js/slider.js';

// The server draws one after the other; two on the way keep it busy.
const AT_ONCE = 2;
const COUNTS = [4, 6, 9, 12, 16, 20, 25, 36];

/**
 * @param {object} app
 * @param {HTMLElement} stage the sheet is laid over it.
 */
export function gridPanel(app, stage) {
  const { store, studio, api, people } = app;
  let psi = 0.7;
  let running = null;
  let size = studio.preview_size;
  const counts = COUNTS.filter((count) => count <= studio.limits.grid);
  const count = h(
    'select',
    { class: 'input', testid: 'grid-n' },
    ...counts.map((value) => h('option', { value, text: String(value), selected: value === 12 })),
  );
  const seed = h('input', {
    type: 'number',
    class: 'input',
    min: 0,
    step: 1,
    placeholder: 'Random',
    testid: 'grid-seed',
    inputmode: 'numeric',
  });
  const truncation = slider({
    id: 'grid-psi',
    label: 'Truncation',
    low: 0,
    high: 1,
    step: 0.05,
    change: (value) => {
      psi = value;
      truncation.update({ value });
    },
    commit: () => {},
  });
  truncation.update({ value: psi });
  truncation.element.querySelector('input[type=range]').dataset.testid = 'grid-psi';
  const asked = h('p', { class: 'asked' });
  const make = button({
    label: 'Make the grid',
    kind: 'primary',
    icon: 'grid',
    testid: 'grid-make',
    on: () => start(),
  });

  const title = h('h2', { text: '' });
  const progress = h('progress', { max: 1, value: 0, hidden: true, 'aria-label': 'Pictures made' });
  const cancel = button({ label: 'Stop', testid: 'grid-cancel', on: () => running?.abort() });
  const items = h('div', { class: 'sheet-items' });
  const sheet = h(
    'section',
    { class: 'sheet', hidden: true, testid: 'grid-sheet', 'aria-label': 'Grid of new people', tabindex: -1 },
    h(
      'header',
      {},
      title,
      progress,
      cancel,
      button({ label: 'Close the grid', icon: 'close', bare: true, testid: 'grid-close', on: close }),
    ),
    items,
  );
  stage.append(sheet);
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && !sheet.hidden && !document.querySelector('dialog[open]')) close();
  });

  async function start() {
    running?.abort();
    const controller = new AbortController();
    running = controller;
    const request = store.state.request;
    const total = Number(count.value);
    const given = seed.value.trim();
    const first = given === '' ? Math.floor(Math.random() * 1e6) : Math.max(0, Math.floor(Number(given)) || 0);
    clear();
    setText(title, `${total} people: ${inWords(request, studio)}`);
    Object.assign(progress, { max: total, value: 0, hidden: false });
    cancel.hidden = false;
    sheet.hidden = false;
    document.body.classList.add('with-sheet');
    const cells = Array.from({ length: total }, (_, i) => cell(i, first + i, request));
    items.replaceChildren(...cells);
    arrange(total);
    sheet.focus({ preventScroll: true });
    let next = 0;
    const worker = async () => {
      while (next < total && !controller.signal.aborted) {
        const index = next++;
        await fill(cells[index], first + index, request, controller.signal);
        progress.value += 1;
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
    } catch (error) {
      controller.abort();
      if (error.name !== 'AbortError') app.notify(`The grid is not complete: ${error.message}`, 'error');
    }
    if (running !== controller) return;
    running = null;
    progress.hidden = true;
    cancel.hidden = true;
    items.querySelectorAll('.waiting').forEach((item) => item.remove());
  }

  /** As many columns as make the pictures largest; a row that is not full counts against it. */
  function arrange(total) {
    const { clientWidth: width, clientHeight: height } = stage;
    const rows = (columns) => Math.ceil(total / columns);
    const sideOf = (columns) => Math.min(width / columns, (height - 60) / rows(columns));
    const value = (columns) => sideOf(columns) * (1 - (0.8 * (rows(columns) * columns - total)) / total);
    const columns = Array.from({ length: total }, (_, i) => i + 1).reduce((a, b) => (value(b) > value(a) ? b : a));
    items.style.setProperty('--columns', columns);
    items.style.setProperty('--rows', rows(columns));
    size = Math.min(512, thumbnailSize(studio, sideOf(columns)));
  }

  function cell(index, number, request) {
    const element = h(
      'button',
      {
        type: 'button',
        class: 'sheet-item waiting',
        testid: `grid-item-${index}`,
        disabled: true,
        'aria-label': `Take person ${number}`,
        title: `Take person ${number}`,
        on: {
          click: async () => {
            if (await people.add({ seed: number, psi: Number(element.dataset.psi), request })) close();
          },
        },
      },
      h('span', { class: 'sheet-label', text: String(number) }),
    );
    return element;
  }

  async function fill(element, number, request, signal) {
    const made = await api.makePerson({ seed: number, psi });
    element.dataset.psi = String(psi);
    try {
      const blob = await api.picture(made.id, { request: rounded(request), size, format: 'jpeg', quality: 88 }, signal);
      const image = h('img', { alt: '', src: URL.createObjectURL(blob), draggable: 'false' });
      element.prepend(image);
      element.classList.remove('waiting');
      element.disabled = false;
    } finally {
      // The seed is enough to make this person again, should they be taken.
      api.removePerson(made.id).catch(() => {});
    }
  }

  function clear() {
    items.querySelectorAll('img').forEach((image) => URL.revokeObjectURL(image.src));
    items.replaceChildren();
  }

  function close() {
    running?.abort();
    sheet.hidden = true;
    document.body.classList.remove('with-sheet');
    clear();
    make.focus({ preventScroll: true });
  }

  const update = (state, previous) => {
    if (previous && state.request === previous.request) return;
    const { request } = state;
    setText(
      asked,
      isEdited(request) ? inWords(request, studio, 8) : 'Nothing is asked for yet: everybody comes as they are.',
    );
  };
  const element = h(
    'div',
    { class: 'panel-body' },
    section(
      'New people, same control',
      { hint: 'Fills a sheet with random people who all do what this person is asked for. Click one to keep them.' },
      h('div', { class: 'asked-for' }, h('span', { class: 'field-label', text: 'Asked for' }), asked),
      field('People', count, { id: 'grid-n' }),
      field('First seed', seed, { id: 'grid-seed' }),
      truncation.element,
      h('div', { class: 'actions' }, make),
    ),
  );
  return { element, update };
}
