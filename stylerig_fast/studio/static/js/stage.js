/** The stage: portrait and mesh side by side. */

import { h, icon, setText } from './dom.js';
import { segmented } from './section.js';

const PIECE = /(\w+) (-?[\d.]+)( degrees)? \(reachable: (-?[\d.]+) to (-?[\d.]+)\)/g;
// A transferred expression is often a little below rest: nobody sees that.
const SLIGHT = 0.1;

/** The engine's warning for the caption; empty when nothing in it can be seen. */
function beyondReach(text) {
  const pieces = [...text.matchAll(PIECE)];
  if (!pieces.length) return text;
  const said = pieces
    .filter(([, , value, degrees, low, high]) => degrees || Math.max(low - value, value - high) > SLIGHT)
    .map(([, name, value, degrees, low, high]) => {
      const unit = degrees ? '°' : '';
      return `${name} ${Number(value)}${unit} (seen: ${low}${unit} to ${high}${unit})`;
    });
  return said.length ? `Beyond the rig’s reach: ${said.join(', ')}` : '';
}

/** @param {object} app store, notify. */
export function stageOf({ store, notify }) {
  const canvas = h('canvas', {
    width: 256,
    height: 256,
    class: 'portrait-canvas',
    testid: 'portrait',
    role: 'img',
    'aria-label': 'Portrait',
  });
  const original = h('canvas', { width: 1, height: 1, class: 'portrait-canvas original', 'aria-hidden': 'true' });
  const tag = h('span', { class: 'tag', text: 'Original' });
  const warning = h('span');
  const caption = h('p', { class: 'caption', hidden: true, testid: 'warnings' }, icon('warning'), warning);
  const portrait = h('figure', { class: 'view portrait' }, canvas, original, tag, caption);
  const mesh = h('figure', { class: 'view mesh', testid: 'mesh' });
  const views = segmented(
    'View',
    [
      { value: 'both', label: 'Both', testid: 'view-both', icon: icon('both') },
      { value: 'portrait', label: 'Portrait', testid: 'view-portrait', icon: icon('person') },
      { value: 'mesh', label: 'Mesh', testid: 'view-mesh', icon: icon('mesh') },
    ],
    (view) => store.set({ view }),
  );
  views.element.classList.add('view-switch');
  const pair = h('div', { class: 'pair' }, portrait, mesh);
  const element = h('main', { class: 'stage', testid: 'stage' }, pair);

  return {
    element,
    views: views.element,
    canvas,
    original,
    warnings(list) {
      const text = list.map(beyondReach).filter(Boolean).join('; ');
      caption.hidden = !text;
      setText(warning, text);
    },
    update(state, previous) {
      if (previous && state.view === previous.view) return;
      element.dataset.view = state.view;
      views.update(state.view);
    },
    /** Loads what draws the mesh; the rest of the page works without it. */
    async startMesh(ballElement) {
      try {
        const [{ MeshView }, { LightBall }, { loadFaceModel }] = await Promise.all([
          import('../mesh/view.js'),
          import('../mesh/lightball.js'),
          import('../mesh/model.js'),
        ]);
        new LightBall(ballElement, store);
        const view = new MeshView(mesh, store);
        view.setModel(await loadFaceModel('/api/face-model'));
        window.studio.mesh = view;
        document.body.dataset.mesh = 'ready';
      } catch (error) {
        mesh.append(
          h('p', { class: 'hint view-message', text: 'The 3D face could not be loaded. Sliders work without it.' }),
        );
        notify(`The 3D face could not be loaded: ${error.message}`, 'error');
      }
    },
  };
}
