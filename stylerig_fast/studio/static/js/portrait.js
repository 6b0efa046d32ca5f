/** The portrait: asks for pictures of what the state says, and shows those that come. */

import { ready } from './ready.js';
import { currentPerson, isEdited, rounded } from './request.js';

// The hand rests this long: the full size is asked for.
const REST = 150;

export class Portrait {
  #canvas;
  #context;
  #original;
  #timer = 0;
  #newest = 0;
  #shown = 0;
  #originals = new Map();
  #figures;

  /**
   * @param {HTMLCanvasElement} canvas of the edited picture.
   * @param {HTMLCanvasElement} original over it, shown while comparing.
   * @param {object} app store, live, api, studio.
   * @param {import('./figures.js').Figures} figures told of every frame.
   */
  constructor(canvas, original, app, figures) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { alpha: false });
    this.#original = original;
    this.#figures = figures;
    this.app = app;
    app.store.subscribe((state, previous) => this.#changed(state, previous));
  }

  #changed(state, previous) {
    const person = currentPerson(state);
    if (state.request !== previous.request || person?.remote !== currentPerson(previous)?.remote) this.refresh();
    if (state.compare !== previous.compare) this.#compare(state.compare);
    else if (state.compare && state.person !== previous.person) this.#compare(true);
  }

  /** Asks for a preview now, and for the full size when nothing follows. */
  refresh() {
    clearTimeout(this.#timer);
    this.#ask(this.app.studio.preview_size, 85);
    this.#timer = setTimeout(() => this.#ask(this.app.studio.full_size, 92), REST);
  }

  #ask(size, quality) {
    const { store, live } = this.app;
    const person = currentPerson(store.state);
    if (!person?.remote || !this.app.api.session) return;
    live.edit({ person: person.remote, request: rounded(store.state.request), size, format: 'jpeg', quality });
  }

  /** A frame came: decode and draw it unless a newer one has come meanwhile. */
  async frame({ header, blob, sentAt }) {
    const { store, live } = this.app;
    this.#newest = Math.max(this.#newest, header.id);
    try {
      const bitmap = await createImageBitmap(blob);
      const person = currentPerson(store.state);
      if (header.id > this.#shown && header.person === person?.remote) {
        this.#draw(bitmap);
        this.#shown = header.id;
        this.#figures.frame(header, sentAt);
        this.app.warnings(header.warnings ?? []);
        if (!header.preview && !isEdited(store.state.request) && header.id === this.#newest) {
          this.#remember(person, bitmap);
        } else bitmap.close();
      } else {
        this.#figures.skipped(header);
        bitmap.close();
      }
    } catch {
      this.app.notify('A picture arrived damaged and was left out', 'error');
    }
    live.shown(header.id);
  }

  /** A new session counts anew. */
  restart() {
    this.#newest = this.#shown;
    this.refresh();
  }

  #draw(bitmap) {
    if (this.#canvas.width !== bitmap.width) {
      this.#canvas.width = bitmap.width;
      this.#canvas.height = bitmap.height;
    }
    this.#context.drawImage(bitmap, 0, 0);
    this.#canvas.dataset.size = String(bitmap.width);
    ready('picture');
  }

  #remember(person, bitmap) {
    this.#originals.get(person.id)?.close();
    this.#originals.delete(person.id);
    this.#originals.set(person.id, bitmap);
    // A picture of 1024 px is 4 MB.
    for (const [id, old] of this.#originals) {
      if (this.#originals.size <= 8) break;
      this.#originals.delete(id);
      old.close();
    }
  }

  async #compare(on) {
    const frame = this.#original.parentElement;
    if (!on) {
      frame.classList.remove('comparing');
      return;
    }
    const person = currentPerson(this.app.store.state);
    if (!person?.remote) return;
    if (!this.#originals.has(person.id)) {
      try {
        const blob = await this.app.api.original(person.remote, this.app.studio.full_size);
        this.#remember(person, await createImageBitmap(blob));
      } catch (error) {
        this.app.notify(error.message, 'error');
        return;
      }
    }
    const { compare, person: shown } = this.app.store.state;
    const bitmap = this.#originals.get(person.id);
    if (!compare || shown !== person.id || !bitmap) return;
    this.#original.width = bitmap.width;
    this.#original.height = bitmap.height;
    this.#original.getContext('2d').drawImage(bitmap, 0, 0);
    frame.classList.add('comparing');
  }
}
