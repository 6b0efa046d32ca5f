"""What compute-sanitizer watches: every op that has CUDA code, and answers that are compared."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_check import kernels
from benchmarks.gpu_check.task import CheckTask, argument_parser
from stylerig_fast.ops import _library
from tests.ops.meshes import needs_kernels

ROOT = Path(__file__).resolve().parents[3]
CPU = CheckTask(torch.device("cpu"), True, None, argparse.Namespace())


@needs_kernels
def test_every_op_with_cuda_code_is_called_and_right_on_the_cpu(capsys):
    everything = kernels.check(CPU)
    assert max(everything.values()) < 1e-4
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "csrc").rglob("*_cuda.cu"))
    ops = {name.removesuffix("_fwd").removesuffix("_bwd") for name in re.findall(r'm\.impl\("(\w+)"', sources)}
    assert ops == {case.op for case in kernels.cases()}
    assert "rasterize float32: rel. 0.0e+00" in capsys.readouterr().out


@needs_kernels
def test_a_kernel_that_is_off_is_named(monkeypatch, capsys):
    def off(device, impl):
        return [torch.full((3,), float("nan") if impl == "cpu" else 1.0)]

    case = kernels.KernelCase("rasterize", "made up", off, 1.0)
    monkeypatch.setattr(kernels, "cases", lambda: iter([case]))
    with pytest.raises(SystemExit, match="1 of 1 calls differ from plain torch"):
        kernels.check(CPU)
    assert "rasterize made up: rel. inf, more than 1.0e+00" in capsys.readouterr().out


def test_a_kernel_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(_library, "why_slow", lambda op, device: "none" if op == "morphable" else "")
    with pytest.raises(SystemExit, match="^morphable: none"):
        kernels.check(CPU, smoke=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_a_sentence():
    with pytest.raises(SystemExit, match="no CUDA device: torch"):
        CheckTask.of(argument_parser("x").parse_args([]))
