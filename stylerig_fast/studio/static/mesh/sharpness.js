/** How many pixels the mesh gets: all that the screen has, and fewer while it moves where WebGL runs in software. */

// More than this is not seen on a mesh.
const MAX_SIDE = 1024;
// In software a picture of 512 x 512 takes tens of milliseconds, which the portrait needs more.
const MOVING_SIDE = 320;
const MOVING_INTERVAL = 30;
const REST_AFTER = 400; // milliseconds

/** @returns {boolean} whether WebGL is computed by the CPU here */
export function isSoftware() {
  const gl = document.createElement('canvas').getContext('webgl2');
  if (!gl) return false;
  const names = gl.getExtension('WEBGL_debug_renderer_info');
  const renderer = String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return /swiftshader|llvmpipe|software|basic render/i.test(renderer);
}

export class Sharpness {
  /**
   * @param {boolean} software
   * @param {() => void} redraw asked for when the mesh has come to rest after a picture of fewer pixels
   */
  constructor(software, redraw) {
    this.software = software;
    this.redraw = redraw;
    this.timer = 0;
    /** Least milliseconds between two pictures. */
    this.interval = software ? MOVING_INTERVAL : 0;
  }

  /**
   * Pixels per CSS pixel for the next picture.
   * @param {number} side the longer one of the canvas, CSS pixels
   * @param {boolean} moving whether the picture will soon be replaced
   */
  ratio(side, moving) {
    clearTimeout(this.timer);
    const screen = Math.min(window.devicePixelRatio || 1, 2);
    if (!this.software) return Math.min(screen, MAX_SIDE / side);
    // Without multisampling, which costs as much as everything else there: smooth edges come from more pixels.
    if (!moving) return Math.min(2 * screen, MAX_SIDE / side);
    this.timer = setTimeout(this.redraw, REST_AFTER);
    return Math.min(screen, MOVING_SIDE / side);
  }

  dispose() {
    clearTimeout(this.timer);
  }
}
