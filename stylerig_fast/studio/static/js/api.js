/** The server's REST side. */

/** What the server answered instead of what was asked for. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function answer(path, { method = 'GET', body, signal } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      signal,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('The studio server does not answer', 0);
  }
  if (response.ok) return response;
  let message = `${response.status} ${response.statusText}`;
  try {
    message = (await response.json()).message ?? message;
  } catch {
    // No JSON: the status says what there is to say.
  }
  throw new ApiError(message, response.status);
}

const json = async (path, options) => (await answer(path, options)).json();

/** What the page must know of the engine. */
export const getStudio = () => json('/api/studio');

export class Api {
  /** Secret of the session; set by the live connection's hello. */
  session = '';

  #path(...parts) {
    return ['/api/sessions', this.session, ...parts].map((part, i) => (i ? encodeURIComponent(part) : part)).join('/');
  }

  /** @param {object} recipe seed and psi, a mix, or a latent; ids are the server's. */
  makePerson(recipe) {
    return json(this.#path('people'), { method: 'POST', body: recipe });
  }

  async latent(remote) {
    return (await json(this.#path('people', remote, 'latent'))).latent;
  }

  removePerson(remote) {
    return answer(this.#path('people', remote), { method: 'DELETE' });
  }

  /** Address of the unedited picture. */
  pictureAddress(remote, size) {
    return `${this.#path('people', remote, 'picture')}?size=${size}`;
  }

  /** @returns {Promise<Blob>} the unedited picture. */
  async original(remote, size, signal) {
    return (await answer(this.pictureAddress(remote, size), { signal })).blob();
  }

  /** @returns {Promise<Blob>} a picture of the request. */
  async picture(remote, body, signal) {
    return (await answer(this.#path('people', remote, 'picture'), { method: 'POST', body, signal })).blob();
  }

  /** @returns {Promise<{id: string}>} */
  startExport(body) {
    return json(this.#path('exports'), { method: 'POST', body });
  }

  exportState(id) {
    return json(this.#path('exports', id));
  }

  cancelExport(id) {
    return answer(this.#path('exports', id), { method: 'DELETE' });
  }

  exportAddress(id) {
    return this.#path('exports', id, 'file');
  }
}
