/**
 * The people of the page. They have ids of the page (a1, a2, …) and the server's id beside it (`remote`): a server
 * that came back knows nobody, and its new ids must not disturb what refers to a person here.
 */

import { currentPerson } from './request.js';

const DEFAULT_PSI = 0.7;

/** A name for the mix of two people, short enough for the server. */
function mixedLabel(...parents) {
  const [a, b] = parents.map((person) => person.label.replace(/^(Person|Mix of) /, '').slice(0, 24));
  return `Mix of ${a} and ${b}`;
}

export class People {
  #next = 1;
  #remaking = null;

  /** @param {object} app store, api, studio, notify. */
  constructor(app) {
    this.app = app;
  }

  /** A seed that is not there yet; small numbers are easy to say and to remember. */
  freshSeed() {
    const seeds = new Set(this.app.store.state.people.map((person) => person.recipe.seed));
    let seed;
    do seed = Math.floor(Math.random() * 100_000);
    while (seeds.has(seed));
    return seed;
  }

  /**
   * A random person.
   * @param {{seed?: number, psi?: number, select?: boolean, request?: object}} options
   */
  async add({ seed = this.freshSeed(), psi = DEFAULT_PSI, select = true, request } = {}) {
    return this.#make(
      { seed, psi },
      { label: `Person ${seed}`, detail: `Seed ${seed}, truncation ${psi}`, select, request },
    );
  }

  /** `person` with the codes of `slots` taken from `source` (both ids of the page). */
  async mix(person, source, slots) {
    const [a, b] = [this.#find(person), this.#find(source)];
    const recipe = { mix: { person: a.remote, source: b.remote, slots } };
    const request = this.app.store.state.requests[person] ?? {};
    const detail = `${a.label} with slots ${slots.join(', ')} of ${b.label}`;
    const made = await this.#make(recipe, { label: mixedLabel(a, b), detail, select: true, request });
    // The parents may be gone when the server comes back: the code itself is what makes this person again.
    if (made) await this.#keepLatent(made);
    return made;
  }

  /** A person from a saved code. */
  load({ latent, label, request }) {
    return this.#make({ latent, label }, { label, detail: 'From a file', select: true, request });
  }

  /** Takes over a person that the server has already made (of a grid). */
  adopt(answer, { label, detail, request }) {
    return this.#enter(answer, { label, detail, select: true, request });
  }

  async #make(recipe, how) {
    const { api, store, studio, notify } = this.app;
    if (store.state.people.length >= studio.limits.people) {
      notify(`There are ${studio.limits.people} people already; remove one first`, 'error');
      return null;
    }
    try {
      return this.#enter(await api.makePerson(recipe), how);
    } catch (error) {
      notify(error.message, 'error');
      return null;
    }
  }

  #enter(answer, { label, detail, select, request }) {
    const { store } = this.app;
    const person = { ...answer, id: `a${this.#next++}`, remote: answer.id, label, detail };
    const people = [...store.state.people, person];
    const requests = request ? { ...store.state.requests, [person.id]: request } : store.state.requests;
    const patch = { people, requests };
    if (select || !store.state.person) patch.person = person.id;
    if (patch.person && request) patch.request = request;
    store.set(patch, { silent: true });
    return person;
  }

  async #keepLatent(person) {
    try {
      const latent = await this.app.api.latent(person.remote);
      this.#replace(person.id, { recipe: { latent, label: person.label.slice(0, 60) } });
    } catch {
      // The mix stays as the server knows it; after a restart it cannot be made again, and remake says so.
    }
  }

  #find(id) {
    return this.app.store.state.people.find((person) => person.id === id);
  }

  #replace(id, patch) {
    const { store } = this.app;
    store.set(
      { people: store.state.people.map((person) => (person.id === id ? { ...person, ...patch } : person)) },
      { silent: true },
    );
  }

  select(id) {
    this.app.store.set({ person: id }, { silent: true });
  }

  /** The person `by` places further, around the end. */
  step(by) {
    const { people, person } = this.app.store.state;
    if (!people.length) return;
    const index = people.findIndex((item) => item.id === person);
    this.select(people[(index + by + people.length) % people.length].id);
  }

  /** Removes a person; the last one stays. */
  async remove(id) {
    const { store, api } = this.app;
    const { people, person } = store.state;
    if (people.length < 2) return;
    const index = people.findIndex((item) => item.id === id);
    const rest = people.filter((item) => item.id !== id);
    const patch = { people: rest };
    if (person === id) patch.person = rest[Math.min(index, rest.length - 1)].id;
    const { remote } = people[index];
    store.set(patch, { silent: true });
    await api.removePerson(remote).catch(() => {}); // gone is gone
  }

  /** Makes everybody again for a new session, the one who is shown first. */
  async remake() {
    const run = Symbol('remake');
    this.#remaking = run;
    const { store, api, notify } = this.app;
    const shown = currentPerson(store.state);
    const order = [...store.state.people].sort((a, b) => (b === shown) - (a === shown));
    const lost = [];
    for (const person of order) {
      if (this.#remaking !== run) return; // the server went again
      try {
        const answer = await api.makePerson(person.recipe);
        this.#replace(person.id, { remote: answer.id, params: answer.params });
      } catch (error) {
        if (error.status === 0) return;
        lost.push(person);
      }
    }
    if (!lost.length) return;
    const ids = new Set(lost.map((person) => person.id));
    const people = store.state.people.filter((person) => !ids.has(person.id));
    const patch = { people };
    if (ids.has(store.state.person)) patch.person = people[0]?.id ?? null;
    store.set(patch, { silent: true });
    notify(`The server could not make ${lost.map((person) => person.label).join(', ')} again`, 'error');
  }

  /** Goes on with the people of an earlier visit to this page. */
  restore(saved) {
    this.#next = 1 + Math.max(0, ...saved.map((person) => Number(person.id.slice(1)) || 0));
  }
}
