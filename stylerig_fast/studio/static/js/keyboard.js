/** Keys that work everywhere on the page, except where the focused element has its own use for them. */

const TYPING = 'input:not([type=range]):not([type=checkbox]):not([type=color]), textarea, select, [contenteditable]';
// These use the arrows themselves.
const ARROWS = `${TYPING}, [type=range], [role=slider], [role=application], [role=tab], [role=radio], .timeline-key`;
const PRESSABLE = 'button, summary, a, [role=slider], [role=application], input';

/** @param {object} app store, people, playback, undo(), redo(), compare(on), help(). */
export function listen(app) {
  document.addEventListener('keydown', (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest('dialog')) return;
    const typing = target.matches(TYPING);
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if ((event.ctrlKey || event.metaKey) && !event.altKey) {
      // A text field has its own undo.
      if (typing && !target.matches('select')) return;
      if (key === 'z') run(event, event.shiftKey ? app.redo : app.undo);
      else if (key === 'y') run(event, app.redo);
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === 'ArrowLeft' || key === 'ArrowRight') {
      if (!target.closest(ARROWS)) run(event, () => app.people.step(key === 'ArrowLeft' ? -1 : 1));
    } else if (key === ' ') {
      if (!target.closest(PRESSABLE)) run(event, () => app.playback.toggle());
    } else if (event.repeat) {
      // What follows happens once per press.
    } else if (key === 'c') app.compare(true);
    else if (key === 'k') app.playback.addKey();
    else if (key === 'r') app.people.add();
    else if (key === '?') run(event, app.help);
  });
  document.addEventListener('keyup', (event) => {
    if (event.key.toLowerCase() === 'c') app.compare(false);
  });
  window.addEventListener('blur', () => app.compare(false));
}

function run(event, action) {
  event.preventDefault();
  action();
}
