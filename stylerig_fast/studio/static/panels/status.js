/** The status bar: connection and figures as measured. */

import { h, setText } from '../js/dom.js';

const NOTHING = '–';
const STATES = { connected: 'Connected', connecting: 'Connecting', disconnected: 'Disconnected' };

/** @param {object} studio GET /api/studio. */
export function statusBar(studio) {
  const connection = h('span', {
    class: 'status-connection',
    testid: 'status-connection',
    'data-state': 'connecting',
    text: STATES.connecting,
  });
  const figure = (id, label, title, text = NOTHING) => {
    const value = h('span', { class: 'figure', testid: `status-${id}`, text });
    return {
      value,
      element: h(
        'span',
        { class: `status-item ${id}`, title },
        h('span', { class: 'status-label', text: label }),
        value,
      ),
    };
  };
  const figures = {
    render: figure('render', 'Render', 'What the engine took for the last picture'),
    roundtrip: figure('roundtrip', 'Round trip', 'From sending the request to the picture on the screen'),
    fps: figure('fps', 'Rate', 'Pictures shown within the last second'),
    size: figure('size', 'Size', 'Of the last picture; smaller ones while something moves'),
    dropped: figure(
      'dropped',
      'Dropped',
      'Requests replaced by a newer one before their picture was made or shown',
      '0',
    ),
    backend: figure(
      'backend',
      'Backend',
      'What makes the pictures',
      `${studio.backend} · ${studio.device} · ${studio.dtype}`,
    ),
    generator: figure('generator', 'Generator', 'Pretrained portrait generator', studio.generator),
  };
  const ms = (value) =>
    value === null || value === undefined ? NOTHING : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  const element = h(
    'footer',
    { class: 'status', 'aria-label': 'Status' },
    connection,
    ...Object.values(figures).map((item) => item.element),
  );
  return {
    element,
    connection(state) {
      connection.dataset.state = state;
      setText(connection, STATES[state]);
    },
    figures(now) {
      setText(figures.render.value, ms(now.render));
      setText(figures.roundtrip.value, ms(now.roundTrip));
      setText(figures.fps.value, now.fps ? `${now.fps} /s` : NOTHING);
      setText(figures.size.value, now.width ? `${now.width} × ${now.height}` : NOTHING);
      setText(figures.dropped.value, String(now.dropped));
    },
  };
}
