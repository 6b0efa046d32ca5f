/** The page's colours, for what is drawn rather than styled. */

/**
 * A CSS variable that holds a colour, in whatever notation.
 * @param {HTMLElement} element
 * @param {string} name for example '--mesh-line'
 * @param {number[]} fallback RGB in 0..1
 * @returns {number[]} RGB in 0..1
 */
export function themeColour(element, name, fallback) {
  const value = getComputedStyle(element).getPropertyValue(name).trim();
  if (!value) return fallback;
  const context = pixel();
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = value;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b, alpha] = context.getImageData(0, 0, 1, 1).data;
  return alpha ? [r / 255, g / 255, b / 255] : fallback;
}

let cachedContext = null;

function pixel() {
  if (!cachedContext) {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    cachedContext = canvas.getContext('2d', { willReadFrequently: true });
  }
  return cachedContext;
}

/**
 * Calls back when light becomes dark or the other way round, by the system or by the page's own toggle.
 * @param {() => void} callback
 * @returns {() => void} stops it
 */
export function onThemeChange(callback) {
  const observer = new MutationObserver(callback);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['class', 'data-theme', 'style'] });
  const system = matchMedia('(prefers-color-scheme: dark)');
  system.addEventListener('change', callback);
  return () => {
    observer.disconnect();
    system.removeEventListener('change', callback);
  };
}
