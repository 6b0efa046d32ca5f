"""Every kernel, compared with plain torch on the CPU, at sizes that leave the last block half empty.

The stage ``sanitize`` runs it under compute-sanitizer; ``build`` runs one call of each op (``--smoke``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.ops import _library
from stylerig_fast.ops.reference.styled_epilogue import ToRgb

from .task import CheckTask, argument_parser

# Takes a device, an `impl`, and the inputs that are differentiated.
Call = Callable[..., list[Tensor]]
FOCAL = 1.5
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
# Batch, channels, height, width: less than a vector of channels; one warp; many channels; more than a block of pixels.
STYLED = ((2, 5, 6, 10), (1, 32, 18, 14), (2, 512, 4, 4), (1, 24, 34, 30))
# Batch, height, width, channels: whole packs of channels and parts of them, more than a warp of them, odd sizes.
MOBILE = ((1, 4, 4, 8), (3, 5, 7, 12), (1, 19, 3, 5), (1, 2, 3, 132))


class KernelCase(NamedTuple):
    """One call of an op.

    Attributes:
        op: its name in ``stylerig_fast.ops``.
        what: the rest of its name.
        call: takes a device and an ``impl``; returns the tensors to compare.
        bound: largest difference allowed, relative to the largest value of a tensor; 0 for equality.
        blas: whether most of its time is spent in BLAS.
        cuda_only: whether there is no kernel of it for the CPU.
    """

    op: str
    what: str
    call: Call
    bound: float
    blas: bool = False
    cuda_only: bool = False


class Draw:
    """Random tensors of one seed, on the CPU."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.generator, self.dtype = torch.Generator().manual_seed(0), dtype

    def normal(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(dtype or self.dtype)

    def index(self, high: int, *shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
        return torch.randint(high, shape, generator=self.generator, dtype=dtype)


def with_gradients(call: Call, *inputs: Tensor) -> Call:
    """A call whose results are followed by the gradients of a weighted sum of them."""

    def both(device: torch.device, impl: str) -> list[Tensor]:
        leaves = [value.to(device).requires_grad_() for value in inputs]
        results = call(device, impl, *leaves)
        draw = Draw(inputs[0].dtype)
        weights = [draw.normal(*value.shape).to(device) for value in results]
        return [*results, *torch.autograd.grad(results, leaves, weights)]

    return both


def meshes(dtype: torch.dtype, bound: float) -> Iterator[KernelCase]:
    """`rasterize`, `vertex_normals` and `masked_photometric`, with random triangles in front of the camera."""
    draw, count, batch, height, width = Draw(dtype), 211, 3, 45, 37
    vertices = draw.normal(batch, count, 3) - torch.tensor([0.0, 0.0, 4.0], dtype=dtype)
    triangles = draw.index(count, 301, 3)
    normals = ops.vertex_normals(vertices, triangles, impl="reference")
    ids = ops.rasterize(vertices, triangles, FOCAL, height, width, impl="reference").triangle
    target = draw.normal(batch, 3, height, width)

    def rasterized(device: torch.device, impl: Any) -> list[Tensor]:
        return list(ops.rasterize(vertices.to(device), triangles.to(device), FOCAL, height, width, impl=impl))

    def normal(device: torch.device, impl: Any, points: Tensor) -> list[Tensor]:
        return [ops.vertex_normals(points, triangles.to(device), impl=impl)]

    def shaded(device: torch.device, impl: Any, *inputs: Any) -> list[Tensor]:
        fixed: Any = (triangles.to(device), ids.to(device), FOCAL, target.to(device))
        return [ops.masked_photometric(*inputs, *fixed, impl=impl).loss]

    def picture(device: torch.device, impl: Any) -> list[Tensor]:
        fixed: Any = (triangles.to(device), ids.to(device), FOCAL, target.to(device))
        inputs: Any = [value.to(device) for value in shading]
        results = ops.masked_photometric(*inputs, *fixed, with_image=True, impl=impl)
        assert results.image is not None
        return [results.loss, results.image]

    shading = (vertices, draw.normal(batch, count, 3), normals, draw.normal(batch, 9, 3))
    name = str(dtype).removeprefix("torch.")
    yield KernelCase("rasterize", name, rasterized, 0.0)
    yield KernelCase("vertex_normals", f"{name} with gradients", with_gradients(normal, vertices), bound)
    yield KernelCase("masked_photometric", f"{name} with a picture", picture, bound)
    yield KernelCase("masked_photometric", f"{name} with gradients", with_gradients(shaded, *shading), bound)


def models(dtype: torch.dtype, bound: float) -> Iterator[KernelCase]:
    """`morphable`, with bases of both precisions, for a few people and for more than a tile of them."""
    draw, count = Draw(dtype), 211
    name = str(dtype).removeprefix("torch.")
    for stored in (dtype, torch.bfloat16):
        bases = [draw.normal(size, count, 3, dtype=stored) for size in (41, 7, 33)]
        constants = (draw.normal(count, 3), bases[0], bases[1], draw.normal(count, 3), bases[2])
        marks = draw.index(count, 70, dtype=torch.int64)
        for people in (3, 19):
            codes = [draw.normal(people, size) for size in (41, 33, 7, 3, 3)]
            codes[4] -= torch.tensor([0.0, 0.0, 60.0], dtype=dtype)

            def morphed(device: torch.device, impl: Any, *leaves: Any, parts: Any = (*constants, marks)) -> Any:
                arguments: Any = [*(part.to(device) for part in parts), *leaves, 4.26]
                results = ops.morphable(*arguments, with_screen=True, impl=impl)
                return [part for part in results if part is not None]

            def forward(device: torch.device, impl: Any, run: Any = morphed, codes: Any = tuple(codes)) -> Any:
                return run(device, impl, *(code.to(device) for code in codes))

            what = f"{name}, bases {str(stored).removeprefix('torch.')}, {people} people"
            yield KernelCase("morphable", what, forward, bound)
            both = with_gradients(morphed, *codes)
            yield KernelCase("morphable", f"{what}, with gradients", both, bound, blas=True)


def pictures(dtype: torch.dtype) -> Iterator[KernelCase]:
    """`styled_epilogue` and `upsample_filter`."""
    bound, name = 16 * torch.finfo(dtype).eps, str(dtype).removeprefix("torch.")
    for batch, channels, height, width in STYLED:
        draw = Draw()
        scale, style, bias = draw.normal(batch, channels), draw.normal(batch, channels), draw.normal(channels)
        noise, taps = draw.normal(height, width), torch.tensor([0.25, 0.75, 0.75, 0.25])
        rgb = ToRgb(
            draw.normal(batch, 3, channels), draw.normal(3), draw.normal(batch, height // 2, width // 2, 3), taps
        )
        x = draw.normal(batch, channels, height, width, dtype=dtype).contiguous(memory_format=torch.channels_last)
        wide = draw.normal(batch, channels, height + 1, width + 1, dtype=dtype)
        rest = {"noise": noise, "style": style}

        def styled(
            device: torch.device, impl: Any, x: Any = x, rgb: Any = rgb, fixed: Any = (scale, bias), rest: Any = rest,
            colour: torch.dtype = torch.float32,
        ) -> list[Tensor]:  # fmt: skip
            here = x.to(device)
            out, image = torch.empty_like(here), torch.zeros(len(x), *x.shape[2:], 3, dtype=colour, device=device)
            options = {key: value.to(device) for key, value in rest.items()}
            there = ToRgb(*(part.to(device) for part in rgb))
            ops.styled_epilogue(
                here, *(v.to(device) for v in fixed), **options, clamp=3.0, out=out, rgb=there, image=image, impl=impl
            )
            return [out, image.float() / (255 if colour == torch.uint8 else 1)]

        def levels(device: torch.device, impl: Any, run: Any = styled) -> list[Tensor]:
            return run(device, impl, colour=torch.uint8)

        def filtered(
            device: torch.device, impl: Any, x: Any = wide, fixed: Any = (taps, scale, bias), rest: Any = rest
        ) -> list[Tensor]:
            options = {key: value.to(device) for key, value in rest.items()}
            here = x.to(device).contiguous(memory_format=torch.channels_last)
            return [ops.upsample_filter(here, *(v.to(device) for v in fixed), **options, clamp=3.0, impl=impl)]

        what = f"{name}, {channels} channels, {height} x {width}"
        yield KernelCase("styled_epilogue", what, styled, bound)
        yield KernelCase("styled_epilogue", f"{what}, uint8", levels, max(bound, 1.01 / 255))
        yield KernelCase("upsample_filter", what, filtered, bound)


def mobile_layers(dtype: torch.dtype) -> Iterator[KernelCase]:
    """`depthwise_layer` with and without bands, and `picture_layer` with one and with four pixels for each input."""
    bound, name = 16 * torch.finfo(dtype).eps, str(dtype).removeprefix("torch.")
    for batch, height, width, channels in MOBILE:
        draw = Draw()
        noise, style = draw.normal(height, width), draw.normal(batch, channels)
        for bands in (1, 4):
            x = draw.normal(batch, height, width, bands * channels, dtype=dtype)
            fixed = (draw.normal(bands * channels), draw.normal(3, 3, channels), style)
            rest = {"noise": noise} | ({"bands": draw.normal(batch, 4 * channels)} if bands == 4 else {})

            def layer(
                device: torch.device, impl: Any, x: Any = x, fixed: Any = fixed, rest: Any = rest
            ) -> list[Tensor]:
                options = {key: value.to(device) for key, value in rest.items()}
                return [ops.depthwise_layer(x.to(device), *(v.to(device) for v in fixed), **options, impl=impl)]

            what = f"{name}, {channels} channels, {height} x {width}{', bands' if bands == 4 else ''}"
            yield KernelCase("depthwise_layer", what, layer, bound, cuda_only=True)
        x = draw.normal(batch, height, width, channels, dtype=dtype)
        for outputs, colour in ((12, torch.float32), (12, torch.uint8), (3, torch.float32)):
            side = 2 if outputs == 12 else 1
            weights = (draw.normal(outputs, channels) / channels**0.5, draw.normal(outputs))
            tables = (draw.normal(channels), style, *weights)
            shape = (batch, side * height, side * width, 3)

            def picture(
                device: torch.device, impl: Any, x: Any = x, fixed: Any = tables, noise: Any = noise,
                shape: Any = shape, colour: torch.dtype = colour,
            ) -> list[Tensor]:  # fmt: skip
                made = torch.zeros(shape, dtype=colour, device=device)
                tensors: Any = [value.to(device) for value in (x, *fixed, made)]
                ops.picture_layer(*tensors, noise=noise.to(device), impl=impl)
                return [tensors[-1].float() / (255 if colour == torch.uint8 else 1)]

            what = f"{name}, {channels} channels, {height} x {width}, {outputs} outputs, {str(colour)[6:]}"
            limit = max(bound, 1.01 / 255) if colour == torch.uint8 else bound
            yield KernelCase("picture_layer", what, picture, limit, cuda_only=True)


def cases() -> Iterator[KernelCase]:
    """All calls."""
    for dtype, bound in ((torch.float32, 1e-4), (torch.float64, 1e-11)):
        yield from meshes(dtype, bound)
        yield from models(dtype, bound)
    for dtype in PRECISIONS:
        yield from pictures(dtype)
        yield from mobile_layers(dtype)


def difference(results: list[Tensor], expected: list[Tensor]) -> float:
    """The largest difference, relative to the largest value of each expected tensor."""
    worst = 0.0
    for a, b in zip(results, expected, strict=True):
        if b.numel():
            b = b.detach().double()
            apart = (a.detach().cpu().double() - b).abs().max() / b.abs().max().clamp_min(1e-30)
            worst = max(worst, float(apart.nan_to_num(nan=float("inf"))))
    return worst


def check(task: CheckTask, tool: str = "", smoke: bool = False) -> dict[str, float]:
    """Runs the calls and compares them.

    Args:
        task: with the device.
        tool: of compute-sanitizer; all but memcheck leave out calls of mostly cuBLAS, which take them minutes.
        smoke: run only the first call of each op.

    Returns:
        Differences by the name of the call.

    Raises:
        SystemExit: the library lacks a kernel, or a difference is too large.
    """
    results: dict[str, float] = {}
    wrong, called = [], set()
    for case in cases():
        if (
            (smoke and case.op in called)
            or (case.cuda_only and not task.cuda)
            or (case.blas and tool not in ("", "memcheck"))
        ):
            continue
        called.add(case.op)
        if why := _library.why_slow(case.op, task.device):
            raise SystemExit(f"{case.op}: {why}")
        name = f"{case.op} {case.what}"
        results[name] = difference(
            case.call(task.device, task.device.type), case.call(torch.device("cpu"), "reference")
        )
        right = results[name] <= case.bound
        print(f"{name}: rel. {results[name]:.1e}{'' if right else f', more than {case.bound:.1e}'}", flush=True)
        wrong += [] if right else [name]
    if wrong:
        raise SystemExit(f"{len(wrong)} of {len(results)} calls differ from plain torch")
    return results


def main() -> None:
    """Runs every kernel once, for compute-sanitizer."""
    parser = argument_parser(__doc__)
    parser.add_argument("--tool", default="", help="of compute-sanitizer, under which this runs")
    parser.add_argument("--smoke", action="store_true", help="one call of each op")
    task = CheckTask.of(parser.parse_args())
    results = check(task, task.options.tool, task.options.smoke)
    task.save({"differences": results})
    print(f"{len(results)} calls agree with plain torch")


if __name__ == "__main__":
    main()
