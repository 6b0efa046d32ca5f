"""The page of benchmarks, ``docs/benchmarks.md``: its words are here, its numbers come from reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..harness import roofline
from ..harness.latency_stats import DRAWS
from ..harness.machine import BUSY, one_line
from ..harness.parity import LARGEST_ERROR, LOWEST_PREVIEW_PSNR, LOWEST_PSNR
from . import tables
from .gpu_check_page import section
from .gpu_check_results import GpuCheck

Report = Mapping[str, Any]

INTRODUCTION = f"""\
<!-- Written by `stylerig-bench all --markdown docs/benchmarks.md`: change the words in benchmarks/report/page.py. -->
# Benchmarks

```sh
stylerig-bench all --json all.json --markdown benchmarks.md --plot benchmarks.svg
stylerig-bench edit --backends torch --dtype float32 --resolutions 1024 256 --json edit.json
stylerig-bench batch --batches 1 8 32
stylerig-bench start-up
stylerig-bench train
stylerig-bench ops
stylerig-bench studio
stylerig-bench compare before.json after.json
stylerig-bench page all.json --markdown benchmarks.md
```

| command | what it measures |
| --- | --- |
| `edit` | SingleStream: one edit after the other, random people, random sliders; then its stages in plain torch |
| `batch` | Offline: throughput of batches of 1 to 32 people with sliders of their own |
| `start-up` | from nothing to the first picture, each time in a fresh process, and the memory of that process |
| `train` | one step of each training stage, on random portraits in memory |
| `ops` | every compiled operation against its plain-torch reference and the floor of the machine |
| `all` | all of these in one report |
| `studio` | the browser studio: what it adds to the Engine's time, pictures/s, a slider in Chromium, its memory |
| `compare` | two reports, row by row: ratios, and whether the difference is more than noise |
| `page` | this page, from reports, and from folders of results that `make gpu-check` wrote |

OpenVINO takes part where it can be imported (`pip install openvino`, or the extra `bench-peers`), torch.compile where
`--peers` names it.

## How to read the numbers

- **An edit** goes from the request to the picture as a NumPy array: reconstructor, RigNet, synthesis, conversion to
  uint8, copy to the host. The plain-torch and OpenVINO rows edit the code with the same rig in torch. Every edit
  comes with a code of its own, so that the reconstructor runs each time; while one person's sliders move, the Engine
  remembers its result.
- **Parity before speed.** Every system first makes the same edits as eager torch in float32 on the CPU.
  A row whose largest difference is over {LARGEST_ERROR}/255 at float32, or that has a picture under
  {LOWEST_PSNR:.0f} dB in lower precision, says so in place of its times. A preview has to be what plain torch makes at
  that size, or the box mean of the whole picture, and its distance to the latter stands beside it; one that is an
  approximation is called that, and is refused under {LOWEST_PREVIEW_PSNR:.0f} dB.
- **In turns.** The systems take turns in rounds, in an order that rotates, after an untimed edit each: what slows
  the machine affects all alike. The median is the median over rounds of each round's median; its 95 % interval is a
  bootstrap of {DRAWS} draws that resamples rounds first and the edits of a round second.
- **Percentiles** are over all edits; one is left out (-) where fewer than one edit would lie beyond it (p99 needs
  100). **Jitter** is the mean absolute difference of the times of successive edits. **FPS** is the inverse of the
  mean.
- **The roofline** is the longer of two times: multiply-adds at the highest rate that a matrix product showed in this
  run, and compulsory bytes (weights once, codes, pictures) at the highest rate of a stream triad, with as many
  threads. Multiply-adds are counted as executed while the network runs without data: a transposed convolution at its
  input size. Of previews none is given: a backend need not make the whole picture for them.
- **Stages** are measured in plain eager torch, with marks that hooks set; on a GPU, CPU time to enqueue and device
  time apart.
- **Memory** is the highest resident size of a process that does nothing but start and edit. The processes of peers
  hold the Engine's own networks beside their own. Start-up reads its files from the disk's cache.
- **A busy machine** spoils timings: what other processes took of the CPU before, during and after the run is
  measured, and a warning stands over the figures if it was more than {BUSY} cores.
"""

OPS = """\
The reference is not naive: it is the same computation in a few large torch operations, with the matrix products in
BLAS. `morphable` is little else than those products. The render loss compares the fused path with plain-torch shading
around the same compiled rasterizer. The compiled `masked_photometric` computes its gradients in the forward pass; its
backward only scales them. Floors count bytes and matrix products; rasterizing and shading is mostly other arithmetic
and branches, so their distance to that floor does not measure what is left to gain.

`styled_epilogue`, `upsample_filter` and `mobile_synthesis` are of one picture, with random weights. Rows of
`mobile_synthesis` are of networks that end at a width: their differences are the times of the blocks.
"""

NO_CUDA = """\
## On CUDA

No row of a GPU stands on this page: nothing has been measured there, and nothing is estimated. On a machine with one:

```sh
make gpu-check
stylerig-bench page all.json out/gpu-check --markdown benchmarks.md
```

[development.md](development.md#checking-a-gpu) says what that runs, and how to carry it to a machine that has no
package index; [ops.md](ops.md) how the CUDA kernels of the operations have been checked without a GPU.
"""

TITLES = {
    "edit": "Edits",
    "batch": "Batches",
    "start-up": "Start-up and memory",
    "train": "Training",
    "ops": "The operations",
    "studio": "The studio",
}


def section_text(report: Report) -> str:
    """A report as Markdown, with its machine."""
    parts = [one_line(report["setting"]) + "."]
    if warning := report.get("load", {}).get("warning"):
        parts.append(f"**Warning: {warning}.**")
    load = report.get("load", {})
    if load.get("average"):
        average = ", ".join(f"{value:.2f}" for value in load["average"])
        parts.append(
            f"Load average at the start {average}; cores that other processes kept busy meanwhile: {load['during']}."
        )
    if "networks" in report and "ceilings" in report:
        rig = report["networks"]["rig"]
        parts.append(roofline.explain(report) + ("" if rig == "trained" else f" The rig is {rig}."))
    for name, title in TITLES.items():
        if name in report:
            parts.append(f"### {title}\n\n{tables.markdown(report, name)}")
            if name == "ops":
                parts.append(OPS)
    parts += tables.absences(report)
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def page(reports: Sequence[Report], plot: str = "", checks: Sequence[GpuCheck] = ()) -> str:
    """The page.

    Args:
        reports: one section of the page each.
        plot: path of the plot as the page links it, if there is one.
        checks: of GPUs, one section each.
    """
    parts = [INTRODUCTION]
    if plot:
        parts.append(f"![Latencies, throughput, stages and start-up]({plot})\n")
    for report in reports:
        setting = report["setting"]
        where = setting["gpu"]["name"] if "gpu" in setting else setting["cpu"]
        parts.append(f"## On {where}, {setting['threads']} threads\n\n{section_text(report)}")
    parts += [section(check) for check in checks]
    if not checks and not any("gpu" in report["setting"] for report in reports):
        parts.append(NO_CUDA)
    return "\n".join(parts)
