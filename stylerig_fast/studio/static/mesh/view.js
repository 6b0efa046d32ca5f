/** The 3D rig: draws the face mesh of the current person and request at once, and only when something changed. */

import { PerspectiveCamera, Scene, WebGLRenderer } from '../vendor/three.module.min.js';
import { FFHQ_FOCAL, projectionMatrix } from './camera.js';
import { Face } from './face.js';
import { HeadControl } from './headcontrol.js';
import { Overlay } from './overlay.js';
import { Sharpness, isSoftware } from './sharpness.js';
import { onThemeChange, themeColour } from './theme.js';

export class MeshView {
  /**
   * @param {HTMLElement} element gets a canvas and its overlay; its own size decides theirs
   * @param {import('../js/store.js').Store} store
   */
  constructor(element, store) {
    this.element = element;
    this.store = store;
    this.face = null;
    this.shown = {}; // what the picture on screen was drawn from
    this.frame = 0;
    this.drawnAt = -Infinity;
    this.canvas = document.createElement('canvas');
    this.canvas.className = 'mesh-canvas';
    this.canvas.dataset.testid = 'mesh-canvas';
    element.classList.add('mesh-view');
    element.append(this.canvas);
    this.overlay = new Overlay(element, store, (mode) => this.setMode(mode));
    this.control = new HeadControl(this.canvas, store);
    this.scene = new Scene();
    this.camera = new PerspectiveCamera();
    this.undo = [];
    if (!this.start()) return;
    this.resized = new ResizeObserver(() => this.request(true));
    this.resized.observe(element);
    this.undo.push(() => this.resized.disconnect(), store.subscribe(() => this.request()));
    this.undo.push(onThemeChange(() => this.readTheme()));
  }

  start() {
    const software = isSoftware();
    this.sharpness = new Sharpness(software, () => this.request(true));
    try {
      this.renderer = new WebGLRenderer({ canvas: this.canvas, antialias: !software, alpha: true });
    } catch (error) {
      console.warn('mesh view:', error);
      this.overlay.say('This browser offers no WebGL, which the 3D face needs. Sliders and portrait work without it.');
      return false;
    }
    this.renderer.setClearColor(0x000000, 0);
    this.canvas.addEventListener('webglcontextrestored', () => this.request(true));
    return true;
  }

  /** @param {import('./model.js').FaceModel} model */
  setModel(model) {
    if (!this.renderer) return;
    if (this.face) {
      this.scene.remove(this.face.group);
      this.face.dispose();
    }
    this.face = new Face(model);
    this.shown = {};
    this.face.setMode(this.overlay.mode);
    this.scene.add(this.face.group);
    this.readTheme();
    this.request(true);
  }

  /** @param {'shaded'|'clay'|'wire'} mode */
  setMode(mode) {
    this.face?.setMode(mode);
    this.request(true);
  }

  /** @returns {Float32Array|null} (V, 3) camera space, decimetres: as Engine.mesh; null without a person */
  vertices() {
    const { person, request } = current(this.store.state);
    return this.face && person ? this.face.model.deform(person, request) : null;
  }

  dispose() {
    cancelAnimationFrame(this.frame);
    for (const undo of this.undo) undo();
    this.sharpness.dispose();
    this.control.dispose();
    this.overlay.dispose();
    this.face?.dispose();
    this.renderer?.dispose();
    this.canvas.remove();
  }

  readTheme() {
    this.face?.setInk(themeColour(this.element, '--mesh-line', [0.2, 0.5, 0.9]));
    this.request(true);
  }

  /** Draws with the next frame of the browser; `force` also when person and request are as before. */
  request(force = false) {
    if (force) this.shown.drawn = false;
    this.frame ||= requestAnimationFrame((now) => {
      this.frame = 0;
      if (now - this.drawnAt < this.sharpness.interval) return this.request();
      this.drawnAt = now;
      return this.draw();
    });
  }

  draw() {
    const { person, request, focal } = current(this.store.state);
    const { shown, face } = this;
    if (!face) return;
    face.group.visible = Boolean(person);
    const changed = (part) => {
      const different = shown.person !== person || !same(shown[part], request[part]);
      shown[part] = request[part];
      return different;
    };
    let dirty = !shown.drawn || shown.person !== person || shown.focal !== focal;
    if (person) {
      if (shown.person !== person) face.setPerson(person);
      const steps = [
        [changed('expression'), () => face.setShape(person, request)],
        [changed('pose'), () => face.setPose(person, request, focal)],
        [[changed('light'), changed('illumination')].includes(true), () => face.setLight(person, request)],
      ];
      for (const [needed, step] of steps) if (needed) [dirty] = [true, step()];
    }
    Object.assign(shown, { person, focal });
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!dirty || !width || !height) return;
    const ratio = this.sharpness.ratio(Math.max(width, height), Boolean(shown.drawn));
    const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
    if (pixels[0] !== this.canvas.width || pixels[1] !== this.canvas.height) this.renderer.setSize(...pixels, false);
    this.camera.projectionMatrix.set(...projectionMatrix(focal, width, height));
    this.camera.projectionMatrixInverse.copy(this.camera.projectionMatrix).invert();
    this.renderer.render(this.scene, this.camera);
    shown.drawn = true;
  }
}

const NOTHING = Object.freeze({});

/** Whether two parts of requests ask for the same; the page makes new objects of parts that did not change. */
function same(a, b) {
  if (a === b) return true;
  if (!a || !b) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

/** The person and the request that the page shows, and the camera's focal length. */
function current(state) {
  return {
    person: state.people?.find(({ id }) => id === state.person) ?? null,
    request: (state.compare ? null : state.request) ?? NOTHING,
    focal: state.studio?.focal ?? FFHQ_FOCAL,
  };
}
