/** The export dialog: a timeline as GIF or MP4, with progress. */

import { button, download, h, setText } from '../js/dom.js';
import { fileName } from '../js/files.js';
import { currentPerson, rounded } from '../js/request.js';
import { field } from '../js/section.js';

const POLL = 300;
const RATES = [10, 12, 15, 20, 24, 25, 30];

/** @param {object} app */
export function exportDialog(app) {
  const { store, api, studio, playback } = app;
  let job = null;
  const sizes = [...studio.sizes].sort((a, b) => b - a).filter((size) => size >= 64);
  const standard = sizes.includes(512) ? 512 : sizes[0];
  const size = h(
    'select',
    { class: 'input', testid: 'export-size' },
    ...sizes.map((value) => h('option', { value, text: `${value} × ${value} px`, selected: value === standard })),
  );
  const fps = h(
    'select',
    { class: 'input', testid: 'export-fps', on: { change: () => count() } },
    ...RATES.map((value) => h('option', { value, text: `${value} pictures/s`, selected: value === 24 })),
  );
  const about = h('p', { class: 'hint' });
  const formats = studio.formats?.video ?? ['gif'];
  const starts = formats.map((format) =>
    button({
      label: format.toUpperCase(),
      kind: 'primary',
      icon: 'film',
      testid: `export-${format}`,
      title: `Export as ${format.toUpperCase()}`,
      on: () => start(format),
    }),
  );
  const progress = h('progress', { max: 1, value: 0, testid: 'export-progress', 'aria-label': 'Pictures made' });
  const state = h('span', { class: 'export-state', role: 'status' });
  const cancel = button({ label: 'Cancel', testid: 'export-cancel', on: () => stop() });
  const link = h('a', { class: 'button', testid: 'export-download', hidden: true, text: 'Download again' });
  const running = h(
    'div',
    { class: 'export-running', hidden: true },
    progress,
    h('div', { class: 'export-line' }, state, cancel, link),
  );
  const dialog = h(
    'dialog',
    { class: 'dialog', testid: 'export-dialog', 'aria-label': 'Export the timeline' },
    h(
      'header',
      {},
      h('h2', { text: 'Export the timeline' }),
      button({ label: 'Close', icon: 'close', bare: true, testid: 'export-close', on: () => dialog.close() }),
    ),
    field('Size', size, { id: 'export-size' }),
    field('Rate', fps, { id: 'export-fps' }),
    about,
    h('div', { class: 'actions even' }, ...starts),
    running,
  );
  document.body.append(dialog);

  function count() {
    const frames = Math.max(1, Math.round(store.state.timeline.duration * Number(fps.value)));
    const tooMany = frames > studio.limits.frames;
    setText(
      about,
      tooMany
        ? `${frames} pictures; one file takes at most ${studio.limits.frames}. Lower the rate, or shorten the timeline.`
        : `${frames} pictures of ${currentPerson(store.state)?.label ?? 'this person'}.`,
    );
    about.classList.toggle('error', tooMany);
    starts.forEach((item) => {
      item.disabled = tooMany || job !== null;
    });
  }

  async function start(format) {
    const person = currentPerson(store.state);
    if (!person || job) return;
    const rate = Number(fps.value);
    const frames = playback.frames(rate).map((request) => ({ person: person.remote, request: rounded(request) }));
    job = { id: null, format, name: fileName(person, format), cancelled: false };
    const mine = job;
    link.hidden = true;
    cancel.hidden = false;
    running.hidden = false;
    progress.hidden = false;
    progress.removeAttribute('value');
    setText(state, 'Starting …');
    count();
    try {
      mine.id = (await api.startExport({ frames, fps: rate, size: Number(size.value), format })).id;
      if (mine.cancelled) await api.cancelExport(mine.id);
      else await follow(mine);
    } catch (error) {
      if (!mine.cancelled) setText(state, `The export failed: ${error.message}`);
    }
    progress.hidden = true;
    cancel.hidden = true;
    job = null;
    count();
  }

  /** Watches an export until it is over. */
  async function follow(mine) {
    progress.hidden = false;
    while (!mine.cancelled) {
      const now = await api.exportState(mine.id);
      if (now.state === 'failed') throw new Error(now.message || 'no reason given');
      if (now.state === 'ready') {
        const address = api.exportAddress(mine.id);
        Object.assign(link, { href: address, download: mine.name, hidden: false });
        setText(state, `${mine.format.toUpperCase()} ready: ${mine.name}`);
        download(address, mine.name);
        return;
      }
      Object.assign(progress, { max: now.total, value: now.done });
      setText(state, now.done < now.total ? `${now.done} of ${now.total} pictures` : 'Writing the file …');
      await new Promise((resolve) => {
        setTimeout(resolve, POLL);
      });
    }
  }

  async function stop() {
    if (!job) return;
    job.cancelled = true;
    setText(state, 'Cancelled');
    if (job.id) await api.cancelExport(job.id).catch(() => {});
  }

  return () => {
    if (!store.state.timeline.keys.length) return;
    playback.pause();
    if (!job) running.hidden = true;
    count();
    dialog.showModal();
  };
}
