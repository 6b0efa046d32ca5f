/** Which of the sizes that the engine offers fits a place on the screen. */

/** The smallest size that is sharp at `pixels` CSS pixels here, or the largest there is. */
export function thumbnailSize(studio, pixels) {
  const wanted = pixels * Math.min(2, window.devicePixelRatio || 1);
  const sizes = [...studio.sizes].sort((a, b) => a - b);
  return sizes.find((size) => size >= wanted) ?? sizes.at(-1);
}
