"""A labelled contact sheet: people down, edits across, the face model that was asked for below each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

PICTURE = 232  # pixels, side of one picture
PANEL = 150  # height of the face model's panel below it; the panel is as wide as the picture
GAP = 8  # between columns, and between a picture and its panel
ROW_GAP = 22
MARGIN = 36
HEAD = 104  # title and column headings
FOOT = 34
ROUNDING = 6

PAPER, PANEL_COLOUR = (255, 255, 255), (240, 240, 238)
INK, FAINT_INK = (28, 28, 30), (120, 120, 124)


@dataclass(frozen=True)
class Tile:
    """One cell: the picture, the rendered face model below it, and perhaps a small picture in the corner."""

    picture: Image.Image
    model: Image.Image  # RGBA or RGB; transparent pixels show the panel
    inset: Image.Image | None = None


def draw_sheet(title: str, footer: str, headings: Sequence[str], rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Draws rows of tiles under column headings.

    Args:
        title: one line at the top left.
        footer: one line at the bottom left.
        headings: one per column.
        rows: tiles, each row as many as there are headings.

    Raises:
        ValueError: a row has another number of tiles than there are headings.
    """
    if any(len(row) != len(headings) for row in rows):
        raise ValueError(f"rows of {[len(row) for row in rows]} tiles under {len(headings)} headings")
    row_height = PICTURE + GAP + PANEL
    width = 2 * MARGIN + len(headings) * (PICTURE + GAP) - GAP
    height = HEAD + len(rows) * (row_height + ROW_GAP) - ROW_GAP + FOOT + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 28), title, INK, ImageFont.load_default(26))
    draw.text((MARGIN, height - MARGIN), footer, FAINT_INK, ImageFont.load_default(17), anchor="ls")
    for column, heading in enumerate(headings):
        x = MARGIN + column * (PICTURE + GAP)
        draw.text((x + PICTURE // 2, HEAD - 14), heading, INK, ImageFont.load_default(19), anchor="ms")
        for index, row in enumerate(rows):
            y = HEAD + index * (row_height + ROW_GAP)
            sheet.paste(*_placed(_cell(row[column]), (x, y)))
    return sheet


def _placed(cell: Image.Image, corner: tuple[int, int]) -> tuple[Image.Image, tuple[int, int], Image.Image]:
    return cell, corner, cell.getchannel("A")


def _cell(tile: Tile) -> Image.Image:
    cell = Image.new("RGBA", (PICTURE, PICTURE + GAP + PANEL), (0, 0, 0, 0))
    picture = tile.picture.convert("RGB").resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
    if tile.inset is not None:
        side = PICTURE // 3
        draw = ImageDraw.Draw(picture)
        draw.rectangle((PICTURE - side - 2, PICTURE - side - 2, PICTURE, PICTURE), fill=PAPER)
        inset = tile.inset.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        picture.paste(inset, (PICTURE - side, PICTURE - side))
    panel = Image.new("RGBA", (PICTURE, PANEL), (*PANEL_COLOUR, 255))
    model = tile.model.convert("RGBA").resize((PANEL, PANEL), Image.Resampling.LANCZOS)
    panel.alpha_composite(model, ((PICTURE - PANEL) // 2, 0))
    cell.paste(picture, (0, 0), _rounded(picture.size))
    cell.paste(panel.convert("RGB"), (0, PICTURE + GAP), _rounded(panel.size))
    return cell


def _rounded(size: tuple[int, int]) -> Image.Image:
    """A mask with rounded corners, drawn four times as large for smooth edges."""
    large = Image.new("L", (4 * size[0], 4 * size[1]), 0)
    ImageDraw.Draw(large).rounded_rectangle((0, 0, large.width - 1, large.height - 1), 4 * ROUNDING, fill=255)
    return large.resize(size, Image.Resampling.LANCZOS)
