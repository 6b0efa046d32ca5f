"""Times of the generators' cuDNN convolutions under its settings, to choose the Engine's on a GPU.

StyleGAN2's synthesis with and without ``cudnn.benchmark``, single convolutions in both memory formats, and the kernels
that take the time. The times are for work on the backends; the page of benchmarks does not show them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from stylerig_fast.generators import StyleGAN2
from stylerig_fast.generators.compiled import StyleGAN2Synthesis
from stylerig_fast.generators.precision import without_tf32

from ..harness.device_clock import stream_of
from ..suites.ops.measure import MedianTimer
from .task import CheckTask, argument_parser, first_line

PRECISIONS = (torch.float32, torch.float16, torch.bfloat16)
# Channels in, channels out, pixels: of three layers of StyleGAN2, config F.
LAYERS = ((512, 512, 64), (128, 128, 256), (32, 32, 1024))
FORMATS = {"NHWC": torch.channels_last, "NCHW": torch.contiguous_format}


class TimedRows:
    """Rows, printed and written as soon as they are measured."""

    def __init__(self, task: CheckTask) -> None:
        self.task, self.timer, self.rows = task, MedianTimer(task.device), list[dict[str, Any]]()

    def time(self, name: str, function: Callable[[], object]) -> None:
        """Adds a row with the time of a function, or with its error."""
        row: dict[str, Any] = {"name": name}
        try:
            (took,) = self.timer.medians(function, runs=7)
            row |= {"us": 1e3 * took.ms, "captured": took.captured}
        except RuntimeError as error:
            row["error"] = first_line(error)
        self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        """Prints a row and writes all rows."""
        print(", ".join(f"{key} {value:.1f}" if isinstance(value, float) else str(value) for key, value in row.items()))
        self.rows.append(row)
        self.task.save({"rows": self.rows})


@torch.no_grad()
def synthesis(rows: TimedRows) -> None:
    """StyleGAN2 from codes to pictures."""
    torch.manual_seed(0)
    task = rows.task
    generator = StyleGAN2(channels=(8, 8, 8, 8)) if task.small else StyleGAN2()
    generator = generator.eval().requires_grad_(False).to(task.device)
    for dtype in PRECISIONS[: 1 if task.small else 3]:
        network = StyleGAN2Synthesis(generator, dtype)
        label = f"StyleGAN2 {generator.resolution} px {str(dtype).removeprefix('torch.')}"
        for batch in (1,) if task.small else (1, 16):
            # Drawn on the host: a failed capture leaves the device's random generator unusable.
            ws = torch.randn(batch, generator.num_ws, generator.w_dim).to(task.device)
            for chosen in (False, True):
                torch.backends.cudnn.benchmark = chosen
                rows.time(f"{label} batch {batch}, cudnn.benchmark {chosen}", lambda n=network, w=ws: n.pictures(w))  # type: ignore[misc]
            torch.backends.cudnn.benchmark = False
            if batch == 1 and task.cuda:
                rows.add({"name": f"{label}: kernels", "kernels": kernels(lambda n=network, w=ws: n.pictures(w))})  # type: ignore[misc]


def kernels(function: Callable[[], object], calls: int = 3, most: int = 18) -> list[dict[str, Any]] | str:
    """The slowest kernels of one call in microseconds, or why the profiler gives none.

    Args:
        function: the call.
        calls: to average over.
        most: number of kernels.
    """
    try:
        return _profiled(function, calls, most)
    except (RuntimeError, AssertionError) as error:  # torch asserts that its profiler was built for CUDA
        return first_line(error)


def _profiled(function: Callable[[], object], calls: int, most: int) -> list[dict[str, Any]]:
    function()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(calls):
            function()
        torch.cuda.synchronize()
    events = sorted(profiled.key_averages(), key=lambda event: -event.device_time_total)[:most]
    return [{"kernel": e.key[:120], "us": e.device_time_total / calls, "calls": e.count / calls} for e in events]


@torch.no_grad()
def layers(rows: TimedRows) -> None:
    """Convolutions, plain and transposed, in both memory formats."""
    draw = torch.Generator().manual_seed(0)
    for channels, out, side in ((8, 8, 16),) if rows.task.small else LAYERS:
        for dtype in PRECISIONS[: 1 if rows.task.small else 2]:
            for name, layout in FORMATS.items():

                def there(*shape: int, dtype: Any = dtype, layout: Any = layout) -> torch.Tensor:
                    value = torch.randn(shape, generator=draw).to(rows.task.device, dtype)
                    return value.contiguous(memory_format=layout)

                x, below = there(1, channels, side, side), there(1, channels, side // 2, side // 2)
                weight = there(out, channels, 3, 3)
                label = f"{channels} channels {side} px {str(dtype).removeprefix('torch.')} {name}"
                torch.backends.cudnn.benchmark = True
                with without_tf32():
                    rows.time(f"convolution {label}", lambda a=x, b=weight: F.conv2d(a, b, padding=1))  # type: ignore[misc]
                    rows.time(
                        f"transposed convolution {label}",
                        lambda a=below, b=weight: F.conv_transpose2d(a, b, stride=2),  # type: ignore[misc]
                    )
                torch.backends.cudnn.benchmark = False


def main() -> None:
    """Times cuDNN's settings and layouts and writes the rows."""
    task = CheckTask.of(argument_parser(__doc__).parse_args())
    with stream_of(task.device):
        rows = TimedRows(task)
        synthesis(rows)
        layers(rows)


if __name__ == "__main__":
    main()
