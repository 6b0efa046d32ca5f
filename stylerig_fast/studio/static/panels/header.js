/** The header: history, comparing, files, theme, help. */

import { button, h, icon } from '../js/dom.js';
import { isEdited } from '../js/request.js';
import { loadPortrait, savePicture, savePortrait } from '../js/files.js';

const SHORTCUTS = [
  ['← →', 'Previous and next person'],
  ['R', 'Random person'],
  ['C', 'Hold to compare with the original'],
  ['Ctrl Z', 'Undo'],
  ['Ctrl Shift Z', 'Redo'],
  ['Space', 'Play and pause the timeline'],
  ['K', 'Add a key at the playhead'],
  ['Double click', 'On a label: back to the person’s own value'],
  ['Shift drag', 'On the face: tip the head'],
  ['?', 'This list'],
];

/** @param {object} app */
export function headerBar(app) {
  const { store } = app;
  const undo = button({ label: 'Undo', icon: 'undo', bare: true, testid: 'undo', on: app.undo });
  const redo = button({ label: 'Redo', icon: 'redo', bare: true, testid: 'redo', on: app.redo });
  const hold = (on) => (event) => {
    if (event.type === 'pointerdown') {
      if (event.button !== 0) return;
      event.currentTarget.setPointerCapture(event.pointerId);
    }
    app.compare(on);
  };
  const press = (on) => (event) => {
    if (event.key !== ' ' && event.key !== 'Enter') return;
    event.preventDefault();
    if (!event.repeat) app.compare(on);
  };
  const compare = button({
    label: 'Compare',
    icon: 'compare',
    testid: 'compare',
    title: 'Hold to see the original (C)',
    on: {
      pointerdown: hold(true),
      pointerup: hold(false),
      pointercancel: hold(false),
      lostpointercapture: hold(false),
      keydown: press(true),
      keyup: press(false),
      blur: hold(false),
      contextmenu: (event) => event.preventDefault(),
    },
  });
  const input = h('input', {
    type: 'file',
    accept: '.json,application/json',
    hidden: true,
    testid: 'load-json-input',
    'aria-label': 'Saved portrait',
    on: {
      change: () => {
        const [file] = input.files;
        if (file) loadPortrait(app, file);
        input.value = '';
      },
    },
  });
  const theme = button({
    label: 'Light or dark',
    icon: 'sun',
    bare: true,
    testid: 'theme',
    on: () => {
      store.set({ theme: window.toggleTheme() });
      drawTheme();
    },
  });
  const drawTheme = () =>
    theme.replaceChildren(icon(document.documentElement.dataset.theme === 'dark' ? 'sun' : 'moon'));
  drawTheme();
  const help = helpDialog();
  app.help = () => help.showModal();
  const group = (...children) => h('div', { class: 'group-buttons' }, ...children);
  const element = h(
    'header',
    { class: 'top' },
    h('h1', { class: 'brand' }, mark(), h('span', { text: 'StyleRig Studio' })),
    h(
      'div',
      { class: 'top-tools' },
      group(undo, redo),
      group(compare),
      group(
        button({
          label: 'Open',
          icon: 'open',
          testid: 'load-json',
          title: 'Load a saved portrait (JSON)',
          on: () => input.click(),
        }),
        button({
          label: 'Save',
          icon: 'save',
          testid: 'save-json',
          title: 'Save code, parameters and controls (JSON)',
          on: () => savePortrait(app),
        }),
        button({
          label: 'PNG',
          icon: 'image',
          testid: 'save-png',
          title: 'Save the picture at full size (PNG)',
          on: () => savePicture(app),
        }),
      ),
      group(theme, button({ label: 'Keys and help', icon: 'help', bare: true, testid: 'help', on: app.help })),
    ),
    input,
  );
  const update = (state) => {
    const { undoLabel, redoLabel } = store;
    undo.disabled = !undoLabel;
    redo.disabled = !redoLabel;
    undo.title = undoLabel ? `Undo: ${undoLabel} (Ctrl+Z)` : 'Nothing to undo';
    redo.title = redoLabel ? `Redo: ${redoLabel} (Ctrl+Shift+Z)` : 'Nothing to redo';
    compare.disabled = !isEdited(state.request) && !state.compare;
    compare.setAttribute('aria-pressed', String(state.compare));
  };
  return { element, update };
}

function helpDialog() {
  const dialog = h(
    'dialog',
    { class: 'dialog', 'aria-label': 'Keys', testid: 'help-dialog' },
    h(
      'header',
      {},
      h('h2', { text: 'Keys' }),
      button({ label: 'Close', icon: 'close', bare: true, on: () => dialog.close() }),
    ),
    h(
      'dl',
      { class: 'shortcuts' },
      ...SHORTCUTS.flatMap(([key, text]) => [
        h('dt', {}, ...key.split(key.includes('Ctrl') ? ' ' : '\n').map((part) => h('kbd', { text: part }))),
        h('dd', { text }),
      ]),
    ),
    h('p', {
      class: 'hint',
      text: 'On a slider, the bar marks what the rig was seen to reach and the tick is the person’s own value.',
    }),
  );
  document.body.append(dialog);
  return dialog;
}

/** A face turned by a rig: two meridians of a head. */
function mark() {
  const svg = icon('compare');
  svg.setAttribute('class', 'mark');
  svg.replaceChildren();
  for (const d of [
    'M8 1.5c3.2 0 5 2.3 5 5.5 0 4-2.3 7.5-5 7.5S3 11 3 7c0-3.2 1.8-5.5 5-5.5z',
    'M9.5 1.8c1.3 3.5 1.2 9-.8 12.5',
    'M3 7c3 1.2 7 1.2 10 0',
  ]) {
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}
