/** The studio's page: puts the parts together. */

import { Api, getStudio } from './api.js';
import { h, setText } from './dom.js';
import { Figures } from './figures.js';
import { listen } from './keyboard.js';
import { labelled } from './labels.js';
import { Live } from './live.js';
import { recall, remember } from './memory.js';
import { connectionBanner, notices } from './messages.js';
import { People } from './people.js';
import { Playback } from './playback.js';
import { Portrait } from './portrait.js';
import { ready } from './ready.js';
import { indexed, isEdited } from './request.js';
import { stageOf } from './stage.js';
import { Store } from './store.js';
import { inspectorOf } from '../panels/inspector.js';
import { exportDialog } from '../panels/export.js';
import { filmstrip } from '../panels/filmstrip.js';
import { headerBar } from '../panels/header.js';
import { statusBar } from '../panels/status.js';
import { timelinePanel } from '../panels/timeline.js';

const FIRST_SEEDS = [21, 8, 30, 42, 55, 7];
const SAVE_AFTER = 400;

/** What the state is before anything happened, or what this tab remembers. */
function initialState(studio, work) {
  const timeline = {
    keys: [],
    duration: 4,
    easing: 'smooth',
    loop: true,
    ...work?.timeline,
    time: 0,
    playing: false,
    open: false,
  };
  const person = work?.person ?? null;
  const requests = work?.requests ?? {};
  return {
    studio,
    session: '',
    people: work?.people ?? [],
    person,
    request: requests[person] ?? {},
    requests,
    source: null,
    linked: work?.linked ?? true,
    hold: work?.hold ?? false,
    compare: false,
    theme: document.documentElement.dataset.theme,
    tab: 'rig',
    view: 'both',
    timeline,
  };
}

function start(studio) {
  const root = document.querySelector('#app');
  const work = recall(studio);
  const store = new Store(initialState(studio, work));
  const api = new Api();
  const { element: toasts, notify } = notices();
  const app = { studio, store, api, notify };
  const status = statusBar(studio);
  const figures = new Figures((now) => status.figures(now));
  const stage = stageOf(app);
  app.warnings = stage.warnings;
  app.people = new People(app);
  app.playback = new Playback(app);
  app.undo = () => store.undo();
  app.redo = () => store.redo();
  app.compare = (on) => {
    if (store.state.compare !== on && (!on || isEdited(store.state.request)))
      store.set({ compare: on }, { silent: true });
  };
  if (work) app.people.restore(work.people);

  const banner = connectionBanner(stage.element, () => app.live.connect());
  let portrait = null;
  app.live = new Live(
    {
      hello: (hello) => welcome(hello),
      frame: (frame) => portrait.frame(frame),
      error: (error) => notify(error.message, 'error'),
      state: (state, retryAt, reason) => {
        status.connection(state);
        banner(state, retryAt, reason);
        document.body.dataset.connection = state;
      },
    },
    work?.session,
  );
  portrait = new Portrait(stage.canvas, stage.original, app, figures);

  /** The connection stands: go on where we were, make everybody again, or begin. */
  async function welcome({ session, resumed }) {
    api.session = session;
    if (!resumed) {
      const gone = store.state.people.map((person) => ({ ...person, remote: null }));
      store.set({ session, people: gone }, { silent: true });
    } else store.set({ session }, { silent: true });
    if (!store.state.people.length) await begin();
    else if (!resumed) await app.people.remake();
    ready('people');
    portrait.restart();
    save();
  }

  async function begin() {
    for (const [index, seed] of FIRST_SEEDS.entries()) {
      if (!(await app.people.add({ seed, select: index === 0 }))) return;
    }
  }

  let saving = 0;
  function save() {
    clearTimeout(saving);
    saving = setTimeout(() => remember(store.state, api.session, studio), SAVE_AFTER);
  }

  const header = headerBar(app);
  const strip = filmstrip(app);
  const inspector = inspectorOf(app, stage.element);
  const timeline = timelinePanel(app, exportDialog(app));
  root.replaceChildren(
    header.element,
    stage.views,
    stage.element,
    strip.element,
    inspector.element,
    timeline.element,
    status.element,
    toasts,
  );
  const parts = [header, stage, strip, inspector, timeline];
  parts.forEach((part) => part.update(store.state, null));
  store.subscribe((state, previous) => {
    parts.forEach((part) => part.update(state, previous));
    save();
  });
  window.addEventListener('pagehide', () => remember(store.state, api.session, studio));
  listen(app);
  // For tests, and for whoever looks at the page from the console.
  window.studio = app;
  app.live.connect();
  stage.startMesh(inspector.lightBall);
}

async function boot() {
  const root = document.querySelector('#app');
  const message = h('p', { class: 'boot', role: 'status', text: 'Opening the studio …' });
  root.replaceChildren(message);
  for (let wait = 500; ; wait = Math.min(8000, wait * 2)) {
    try {
      const studio = await getStudio();
      start(indexed({ ...studio, expressions: labelled(studio.expressions) }));
      return;
    } catch (error) {
      if (error.status === undefined) throw error;
      const denied = error.status === 401 || error.status === 403;
      setText(
        message,
        denied
          ? 'This studio asks for its token: open the address that the server printed, with ?token=… at its end.'
          : `${error.message}. Trying again …`,
      );
      if (denied) return;
      await new Promise((resolve) => {
        setTimeout(resolve, wait);
      });
    }
  }
}

boot();
