"""What every plot is drawn with: scales, marks, and a file of panels. The charts are tested where they are used."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from stylerig_fast.plotting import DOCUMENT_STYLE, Drawing, Panel, Scale, document

SVG = "{http://www.w3.org/2000/svg}"


def test_a_scale_maps_its_ends_and_clips():
    scale = Scale(2.0, 4.0, 100, 0)
    assert [scale(value) for value in (2.0, 3.0, 4.0)] == [100, 50, 0]
    assert [scale.clip(value) for value in (1.0, 3.0, 9.0)] == [2.0, 3.0, 4.0]


def test_words_are_escaped():
    drawing = Drawing()
    drawing.text(1, 2, "a < b & c")
    drawing.bar(0, 0, 1, 1, "#000", tip="<script>")
    drawing.dot(0, 0, "#000", tip="<script>")
    text = "".join(drawing.parts)
    assert "a &lt; b &amp; c" in text and "<script>" not in text and text.count("&lt;script&gt;") == 2


def test_what_has_no_colour_has_a_class():
    drawing = Drawing()
    drawing.line([(0, 0), (1, 1)])
    drawing.bar(0, 0, 1, 1)
    drawing.line([(0, 0), (1, 1)], "#123456")
    line, band, coloured = drawing.parts
    assert 'class="stroke"' in line and 'class="band"' in band
    assert 'stroke="#123456"' in coloured and "class" not in coloured


def test_a_bar_of_nothing_is_still_seen():
    drawing = Drawing()
    drawing.bar(5, 0, 0.0, 10, "#000")
    assert 'width="0.5"' in drawing.parts[0]


def test_a_document_stacks_its_panels_and_has_styles_for_light_and_dark():
    panels = [Panel(title="first <1>", height=100.0), Panel(title="second", height=50.0)]
    for panel in panels:
        panel.text(0, 0, panel.title)
    root = ElementTree.fromstring(document(panels, 900))
    assert (root.get("width"), root.get("height")) == ("900", str(10 + 100 + 44 + 50 + 44))
    assert [group.get("transform") for group in root.iter(f"{SVG}g")] == ["translate(0,36.0)", "translate(0,180.0)"]
    assert [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "title"] == ["first <1>", "second"]
    assert "prefers-color-scheme: dark" in (root.findtext(f"{SVG}style") or "")


@pytest.mark.parametrize("kind", ["tick", "label", "title", "grid", "stroke", "band", "paper"])
def test_every_class_has_a_style(kind):
    assert f".{kind} {{" in DOCUMENT_STYLE
