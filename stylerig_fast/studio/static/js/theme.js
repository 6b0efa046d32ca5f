/** Light and dark: as the system says, until the toggle does. A classic script, to run before the first paint. */

(() => {
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  let chosen = null;
  try {
    chosen = localStorage.getItem('stylerig-theme');
  } catch {
    // Storage may be off; then the choice lasts as long as the page.
  }
  const apply = () => {
    document.documentElement.dataset.theme = chosen ?? (dark.matches ? 'dark' : 'light');
  };
  dark.addEventListener('change', apply);
  window.toggleTheme = () => {
    chosen = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
    try {
      localStorage.setItem('stylerig-theme', chosen);
    } catch {
      // As above.
    }
    apply();
    return chosen;
  };
  apply();
})();
