/**
 * The live connection: requests up, pictures down, and coming back after the server went.
 *
 * The newest edit replaces one that waits here; about one is sent per animation frame, and none while the last one has
 * not left the browser. What waits at the server is replaced there.
 */

import { parseFrame } from './frame.js';

// Milliseconds between two edits, about an animation frame.
const APART = 14;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;
const PING_EVERY = 15_000;
// No pong for this long: the connection is gone, though the browser has not noticed.
const SILENCE = 40_000;

export class Live {
  #socket = null;
  #waiting = null;
  #scheduled = false;
  #lastEdit = -Infinity;
  #nextId = 1;
  #sent = new Map();
  #attempts = 0;
  #timer = 0;
  #retryAt = 0;
  #heard = 0;
  #session;

  /**
   * @param {object} handlers
   * @param {(hello: object) => void} handlers.hello the connection stands; `resumed` says whether the people are there.
   * @param {(frame: object) => void} handlers.frame a picture: `{header, blob, sentAt}`.
   * @param {(error: {id: number|null, message: string}) => void} handlers.error
   * @param {(state: 'connecting'|'connected'|'disconnected', retryAt: number, reason: string) => void} handlers.state
   * @param {string} [session] secret of an earlier session to go on with.
   */
  constructor(handlers, session = '') {
    this.handlers = handlers;
    this.#session = session;
    setInterval(() => this.#ping(), PING_EVERY);
  }

  get connected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Opens the connection, now. */
  connect() {
    clearTimeout(this.#timer);
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    this.handlers.state('connecting', 0, '');
    const address = new URL('/api/live', window.location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    if (this.#session) address.searchParams.set('session', this.#session);
    const socket = new WebSocket(address);
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', (event) => this.#receive(socket, event.data));
    socket.addEventListener('close', (event) => this.#closed(socket, event));
    this.#socket = socket;
  }

  /**
   * Asks for a picture.
   * @param {{person: string, request: object, size: number, format?: string, quality?: number}} edit
   */
  edit(edit) {
    this.#waiting = edit;
    // The first one of a movement does not wait for the screen.
    if (performance.now() - this.#lastEdit > APART) this.#flush();
    else this.#schedule();
  }

  /** Says that a frame is on the screen, so that the next one may come. */
  shown(id) {
    this.#send({ type: 'shown', id });
  }

  #schedule() {
    if (this.#scheduled || !this.#waiting) return;
    this.#scheduled = true;
    const next = () => {
      this.#scheduled = false;
      this.#flush();
    };
    // A hidden page has no animation frames.
    if (document.hidden) setTimeout(next, 16);
    else requestAnimationFrame(next);
  }

  #flush() {
    if (!this.#waiting || !this.connected) return;
    if (this.#socket.bufferedAmount > 0) {
      this.#schedule();
      return;
    }
    const id = this.#nextId++;
    this.#lastEdit = performance.now();
    this.#sent.set(id, this.#lastEdit);
    this.#send({ type: 'edit', id, ...this.#waiting });
    this.#waiting = null;
  }

  #send(message) {
    if (this.connected) this.#socket.send(JSON.stringify(message));
  }

  #ping() {
    if (!this.connected) return;
    if (performance.now() - this.#heard > SILENCE) this.#socket.close();
    else this.#send({ type: 'ping', time: performance.now() });
  }

  #receive(socket, data) {
    if (socket !== this.#socket) return;
    this.#heard = performance.now();
    if (typeof data !== 'string') {
      const frame = parseFrame(data);
      if (frame) this.handlers.frame({ ...frame, sentAt: this.#answered(frame.header.id) });
      return;
    }
    const message = JSON.parse(data);
    if (message.type === 'hello') {
      this.#attempts = 0;
      this.#session = message.session;
      this.#sent.clear();
      // What waits names a person that a new session does not know.
      if (!message.resumed) this.#waiting = null;
      this.handlers.state('connected', 0, '');
      this.handlers.hello(message);
      this.#schedule();
    } else if (message.type === 'error') {
      if (message.id !== null) this.#answered(message.id);
      this.handlers.error(message);
    }
  }

  /** Forgets the edits up to `id`, which have been answered or replaced; returns when `id` was sent. */
  #answered(id) {
    const time = this.#sent.get(id);
    for (const key of this.#sent.keys()) {
      if (key > id) break;
      this.#sent.delete(key);
    }
    return time;
  }

  #closed(socket, event) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#attempts) * (0.8 + 0.4 * Math.random());
    this.#attempts += 1;
    this.#retryAt = Date.now() + wait;
    this.#timer = setTimeout(() => this.connect(), wait);
    this.handlers.state('disconnected', this.#retryAt, event.reason || '');
  }
}
