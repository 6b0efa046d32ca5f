"""The page at every width and in both themes: nothing overflows, all has names, text can be read, fingers hit."""

from __future__ import annotations

import pytest

from tests.studio.browser.hands import move, press, rests, tab

WIDTHS = {"phone": (390, 844), "small": (1024, 768), "large": (2560, 1440)}
TABS = ("rig", "people", "combine", "grid")

NAMELESS = """
  () => [...document.querySelectorAll('button, input, select, a[href], [role=slider], [role=application]')]
    .filter((element) => element.checkVisibility())
    .filter((element) => {
      const label = element.getAttribute('aria-label') ?? element.getAttribute('title')
        ?? [...(element.labels ?? [])].map((label) => label.textContent).join(' ');
      return !(label || element.textContent || element.placeholder || '').trim();
    })
    .map((element) => element.outerHTML.slice(0, 200))
"""
# WCAG 2.2, 1.4.3: the contrast of text with what is behind it, of text that is not disabled.
FAINT = """
  () => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    const paint = (colours) => {
      context.clearRect(0, 0, 1, 1);
      for (const colour of colours) {
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
      }
      return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => value / 255);
    };
    const luminance = (rgb) => {
      const [r, g, b] = rgb.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      const layers = [];
      for (let at = element; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
      return ['white', ...layers];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (!node.data.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
      if (element.closest(':disabled, [hidden], noscript, .portrait, .sheet-label')) continue;
      const layers = behind(element);
      const [a, b] = [paint(layers), paint([...layers, getComputedStyle(element).color])].map(luminance);
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${node.data.trim().slice(0, 40)} (.${element.className})`);
    }
    return [...new Set(found)];
  }
"""
# WCAG 2.2, 2.5.5: 44 px for a finger.
SMALL = """
  () => [...document.querySelectorAll('button, select, input:not([type=range]):not([type=file]), summary, [role=tab]')]
    .filter((element) => element.checkVisibility())
    .map((element) => ({ element, box: element.getBoundingClientRect() }))
    .filter(({ box }) => box.width > 0 && (box.width < 43.5 || box.height < 43.5))
    .map(({ element, box }) => `${Math.round(box.width)}x${Math.round(box.height)} ${element.outerHTML.slice(0, 120)}`)
"""


@pytest.fixture(params=WIDTHS)
def width(request):
    return request.param


@pytest.fixture(params=("light", "dark"))
def theme(request):
    return request.param


def opened(tabs, server, width, theme):
    x, y = WIDTHS[width]
    phone = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2} if width == "phone" else {}
    page = tabs(server, viewport={"width": x, "height": y}, color_scheme=theme, **phone).open()
    rests(page)
    return page


def test_looks(tabs, server, width, theme, screenshots):
    """Every panel, edited, at this width and in this theme."""
    page = opened(tabs, server, width, theme)
    move(page, "yaw", 20)
    press(page, "preset-smile")
    rests(page)
    for name in TABS:
        tab(page, name)
        if screenshots:
            page.wait_for_timeout(150)
            page.screenshot(path=screenshots / f"{name}-{width}-{theme}.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight + 1"), name
        assert not page.evaluate(NAMELESS), name
        assert not page.evaluate(FAINT), name
        if width == "phone":
            assert not page.evaluate(SMALL), name
    assert page.evaluate("document.documentElement.dataset.theme") == theme


def test_the_theme_can_be_chosen(tabs, server):
    page = opened(tabs, server, "small", "light")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    press(page, "theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.reload()
    page.locator("body[data-ready=true]").wait_for()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_focus_is_seen(tabs, server):
    """Whatever the Tab key reaches looks different with the focus than without."""
    page = opened(tabs, server, "small", "light")
    for _ in range(40):
        page.keyboard.press("Tab")
        plain = page.evaluate("""() => {
          const element = document.activeElement;
          const style = getComputedStyle(element);
          const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
          if (ring || style.boxShadow !== 'none' || element.matches('input[type=range]')) return null;
          return element.outerHTML.slice(0, 160);
        }""")
        assert plain is None


def test_the_phone_has_everything(tabs, server):
    """Tabs of the panels and the timeline lie within reach of a thumb; a finger turns the head."""
    page = opened(tabs, server, "phone", "light")
    for name in (*TABS, "timeline"):
        box = page.get_by_test_id(f"tab-{name}").bounding_box()
        assert box["y"] > 700 and box["height"] >= 44
    tab(page, "timeline")
    press(page, "timeline-add-key")
    press(page, "timeline-play")
    tab(page, "rig")
    press(page, "view-mesh")
    before = page.evaluate("window.studio.store.state.request.pose ?? null")
    box = page.locator(".mesh-canvas").bounding_box()
    page.touchscreen.tap(box["x"] + 40, box["y"] + 40)
    assert page.evaluate("window.studio.store.state.request.pose ?? null") == before
    press(page, "view-portrait")
    rests(page)
