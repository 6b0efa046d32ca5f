"""A labelled contact sheet of a face model: landmarks, mean, and what its first components do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont

from stylerig_fast.commands.contact_sheet import FAINT_INK, INK, PANEL_COLOUR, PAPER
from stylerig_fast.face import FFHQ_FOCAL, FaceModel
from stylerig_fast.face.lighting import light
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate, render

TILE, GAP, LABEL, MARGIN, HEAD = 200, 8, 22, 28, 66
COLUMNS = 8
LARGE = 2 * TILE + GAP  # the two pictures with landmarks stand over two rows and two columns
FRAMED = 1.65  # a tile's side, in heights of the landmarks from brow to chin
COMPONENTS = 4  # of each block, both ways
UNITS = 4 * COLUMNS  # named expressions at most
DOT = (214, 40, 40)
GREY = 0.6  # albedo of pictures of the shape alone
POSES = {"": (0, 0), ", yaw 40°": (40, 0), ", yaw -40°": (-40, 0), ", pitch 20°": (0, 20)}


@dataclass(frozen=True)
class View:
    """One picture: a pose in degrees, and a coefficient that is not 0."""

    label: str
    yaw: float = 0.0
    pitch: float = 0.0
    block: str = ""
    index: int = 0
    value: float = 0.0


def draw_face_sheet(model: FaceModel) -> Image.Image:
    """The sheet: landmarks and mean on top, then rows of pictures per block."""
    rows = list(views(model))
    width = 2 * MARGIN + COLUMNS * (TILE + GAP) - GAP
    sheet = Image.new("RGB", (width, HEAD + (len(rows) + 2) * (TILE + GAP + LABEL) + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 18), model.name, INK, ImageFont.load_default(24))
    sizes = ", ".join(f"{model.sizes[name]} {name}" for name in ("identity", "expression", "albedo"))
    facts = f"{model.num_vertices} vertices, {len(model.triangles)} triangles; components: {sizes}"
    draw.text((width - MARGIN, 26), facts, FAINT_INK, ImageFont.load_default(15), anchor="ra")

    def put(picture: Image.Image, label: str, row: int, column: int) -> None:
        x, y = MARGIN + column * (TILE + GAP), HEAD + row * (TILE + GAP + LABEL)
        sheet.paste(picture, (x, y))
        draw.text((x + picture.width // 2, y + picture.height + 3), label, INK, ImageFont.load_default(13), anchor="ma")

    put(draw_landmarks(model, View("")), "the mean and its landmarks", 0, 0)
    put(draw_landmarks(model, View("", yaw=40)), "yaw 40°", 0, 2)
    for row, (name, shown) in enumerate({"mean": model, "shape": _grey(model)}.items()):
        for column, (label, (yaw, pitch)) in enumerate(POSES.items(), 4):
            put(draw_view(shown, View(label, yaw, pitch)), name + label, row, column)
    for row, line in enumerate(rows, 2):
        for column, view in enumerate(line):
            put(draw_view(model, view), view.label, row, column)
    return sheet


def views(model: FaceModel) -> Iterator[list[View]]:
    """Rows of at most eight: the first components both ways by two standard deviations, and named units at 1."""
    yield _both_ways("identity", [f"identity {k + 1}" for k in range(model.sizes["identity"])])
    names = model.expression_names
    units = [k for k, name in enumerate(names) if not name.startswith("residual_")]
    for start in range(0, min(len(units), UNITS), COLUMNS):
        yield [View(names[k], block="expression", index=k, value=1) for k in units[start : start + COLUMNS]]
    others = len(names) - len(units)
    if others:
        yield _both_ways("expression", names, first=next(k for k in range(len(names)) if k not in units))
    yield _both_ways("albedo", [f"albedo {k + 1}" for k in range(model.sizes["albedo"])])


def draw_view(model: FaceModel, view: View, size: int = TILE) -> Image.Image:
    """One picture, drawn twice as large and scaled down for smooth edges."""
    with torch.no_grad():
        rendered = render(model, _params(model, view), size=2 * size)
    rgba = torch.cat([rendered.image[0], rendered.mask[:1].to(rendered.image.dtype)]).clamp(0, 1)
    face = Image.fromarray(rgba.mul(255).round().byte().permute(1, 2, 0).numpy())
    picture = Image.new("RGBA", face.size, (*PANEL_COLOUR, 255))
    picture.alpha_composite(face)
    return picture.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)


def draw_landmarks(model: FaceModel, view: View) -> Image.Image:
    """One large picture with numbered landmarks; those that face away are not filled."""
    picture = draw_view(model, view, LARGE)
    surface = evaluate(model, _params(model, view))
    normals, vertices = surface.normals[0, model.landmarks], surface.vertices[0, model.landmarks]
    facing = ((normals * vertices).sum(-1) < 0).tolist()
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(9)
    for number, (x, y) in enumerate((surface.landmarks[0] * LARGE).tolist()):
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=DOT if facing[number] else None, outline=DOT)
        draw.text((x + 3, y - 9), str(number + 1), INK, font)
    return picture


def _both_ways(block: str, names: Sequence[str], first: int = 0) -> list[View]:
    chosen = range(first, min(first + COMPONENTS, len(names)))
    return [View(f"{names[k]}, {value:+d} sd", block=block, index=k, value=value) for k in chosen for value in (-2, 2)]


def _params(model: FaceModel, view: View) -> FaceParams:
    """The view's parameters, the face in the middle of the picture."""
    blocks: dict[str, Any] = {name: torch.zeros(1, model.sizes[name]) for name in ("identity", "albedo", "expression")}
    if view.block:
        blocks[view.block][0, view.index] = view.value
    places = model.mean[model.landmarks]
    low, high = places.min(0).values, places.max(0).values
    x, y, z = ((low + high) / 2).tolist()
    distance = FRAMED * float(high[1] - low[1]) * FFHQ_FOCAL + z
    return FaceParams(
        **blocks,
        illumination=light(torch.tensor([[0.3, 0.4, 1.0]]), torch.full((1, 3), 0.75), torch.full((1, 3), 0.3)),
        rotation=torch.zeros(1, 3),
        translation=torch.tensor([[-x, -y, -distance]]),
    ).with_pose(yaw=view.yaw, pitch=view.pitch)


def _grey(model: FaceModel) -> FaceModel:
    return dataclasses.replace(
        model, albedo_mean=torch.full_like(model.albedo_mean, GREY), albedo=torch.zeros_like(model.albedo)
    )
