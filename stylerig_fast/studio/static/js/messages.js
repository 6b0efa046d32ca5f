/** Messages to the person at the page: short notices, and the banner of a lost connection. */

import { button, h, icon, setText } from './dom.js';

const STAYS = 4000;
const ERROR_STAYS = 9000;

/** @returns {{element: HTMLElement, notify: (text: string, kind?: 'info'|'error') => void}} */
export function notices() {
  const list = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });
  const notify = (text, kind = 'info') => {
    const same = [...list.children].find((item) => item.dataset.text === text);
    same?.remove();
    const close = () => toast.remove();
    const toast = h(
      'div',
      { class: `toast ${kind}`, testid: 'toast', 'data-text': text },
      kind === 'error' ? icon('warning') : null,
      h('span', { text }),
      button({ label: 'Dismiss', icon: 'close', bare: true, kind: 'small', on: close }),
    );
    list.append(toast);
    while (list.children.length > 3) list.firstChild.remove();
    setTimeout(close, kind === 'error' ? ERROR_STAYS : STAYS);
  };
  return { element: list, notify };
}

/**
 * The banner of a lost connection.
 * @param {() => void} retry tries again now.
 * @returns {(state: string, retryAt: number, reason: string) => void}
 */
export function connectionBanner(parent, retry) {
  const text = h('span', { class: 'banner-text' });
  const banner = h(
    'div',
    { class: 'banner', role: 'alert', hidden: true, testid: 'connection-banner' },
    icon('offline'),
    text,
    button({ label: 'Try now', testid: 'connection-retry', kind: 'small', on: retry }),
  );
  parent.append(banner);
  let timer = 0;
  let lost = false;
  return (state, retryAt, reason) => {
    clearInterval(timer);
    if (state === 'connected') lost = false;
    if (state === 'disconnected') lost = true;
    banner.hidden = !lost;
    if (!lost) return;
    const why = reason ? ` (${reason})` : '';
    const say = () => {
      const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
      const next = state === 'connecting' || !seconds ? 'Trying again …' : `Trying again in ${seconds} s.`;
      setText(text, `The studio server does not answer${why}. Your edits are kept here. ${next}`);
    };
    say();
    timer = setInterval(say, 250);
  };
}
