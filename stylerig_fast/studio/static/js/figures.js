/** The figures of the status bar: what was measured, nothing smoothed away. */

const SECOND = 1000;

export class Figures {
  #times = [];
  #dropped = 0;
  #latest = null;
  #listener;
  #timer = 0;

  /** @param {(figures: object) => void} listener told when a figure changes. */
  constructor(listener) {
    this.#listener = listener;
  }

  /** A frame is on the screen. */
  frame(header, sentAt) {
    const now = performance.now();
    this.#times.push(now);
    this.#dropped += header.dropped ?? 0;
    this.#latest = {
      render: header.render_ms,
      encode: header.encode_ms,
      wait: header.wait_ms,
      roundTrip: sentAt === undefined ? null : now - sentAt,
      width: header.width,
      height: header.height,
      preview: header.preview,
    };
    this.#tell();
  }

  /** A frame came too late to be shown. */
  skipped(header) {
    this.#dropped += 1 + (header.dropped ?? 0);
    this.#tell();
  }

  #tell() {
    const now = performance.now();
    while (this.#times.length && now - this.#times[0] > SECOND) this.#times.shift();
    this.#listener({ ...this.#latest, fps: this.#times.length, dropped: this.#dropped });
    clearTimeout(this.#timer);
    // A single frame a second ago is no rate.
    this.#timer = this.#times.length ? setTimeout(() => this.#tell(), 250) : 0;
  }
}
