/** Files that the page saves and loads: PNG, JSON of a portrait. */

import { download } from './dom.js';
import { currentPerson, isEdited, rounded } from './request.js';
import { InvalidFile, savedPortrait } from './validate.js';

// A code of 18 slots is 50 kB; 200 keys with every unit are about a megabyte.
const LARGEST = 4 << 20;

/** A name that every file system takes. */
export const fileName = (person, ending) =>
  `${
    person.label
      .toLowerCase()
      .replace(/[^\w-]+/g, '-')
      .replace(/^-+|-+$/g, '') || 'portrait'
  }.${ending}`;

/** The portrait at its full size, without loss. */
export async function savePicture(app) {
  const person = currentPerson(app.store.state);
  if (!person) return;
  try {
    const request = rounded(app.store.state.request);
    const blob = await app.api.picture(person.remote, { request, size: app.studio.full_size, format: 'png' });
    download(blob, fileName(person, 'png'));
    app.notify('Picture saved');
  } catch (error) {
    app.notify(`The picture was not saved: ${error.message}`, 'error');
  }
}

/** Code, parameters, request and timeline as JSON. */
export async function savePortrait(app) {
  const { store, api, studio } = app;
  const person = currentPerson(store.state);
  if (!person) return;
  try {
    const { duration, easing, loop, keys } = store.state.timeline;
    const content = {
      format: 'stylerig-studio',
      version: 1,
      generator: studio.generator,
      num_ws: studio.num_ws,
      label: person.label,
      recipe: person.recipe,
      latent: await api.latent(person.remote),
      params: person.params,
      request: rounded(store.state.request),
      timeline: {
        duration,
        easing,
        loop,
        keys: keys.map(({ time, request }) => ({ time, request: rounded(request) })),
      },
    };
    const blob = new Blob([JSON.stringify(content)], { type: 'application/json' });
    download(blob, fileName(person, 'json'));
    app.notify('Portrait saved');
  } catch (error) {
    app.notify(`The portrait was not saved: ${error.message}`, 'error');
  }
}

/** Loads what `savePortrait` wrote, as a new person. */
export async function loadPortrait(app, file) {
  try {
    if (file.size > LARGEST)
      throw new InvalidFile(`it has ${Math.round(file.size / 1e6)} MB, a saved portrait has less than 4`);
    const saved = savedPortrait(await file.text(), app.studio);
    const person = await app.people.load(saved);
    if (!person) return;
    const { timeline } = app.store.state;
    // Keys that are there are not thrown away for those of a file: only an empty timeline takes them.
    if (saved.timeline?.keys.length && !timeline.keys.length) {
      app.store.set({ timeline: { ...timeline, ...saved.timeline, time: 0 } }, { label: 'Load timeline' });
    }
    app.notify(isEdited(saved.request) ? `${file.name} loaded with its edits` : `${file.name} loaded`);
  } catch (error) {
    const why = error instanceof InvalidFile ? error.message : `it cannot be read (${error.message})`;
    app.notify(`${file.name} was not loaded: ${why}`, 'error');
  }
}
