"""What a generator of the published size costs, in child processes of its own: seconds are printed, memory is held."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.generators.checkpoints import random_network, write_ada

FIGURES = """
import json, resource, sys, time

def figures(**values):
    # Not the ru_maxrss of this process, which starts at what its parent held when it was forked.
    own = int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
    peak = own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps(values | {"peak": max(peak) * 1024, "both": sum(peak) * 1024}))
"""
CONVERT = (
    FIGURES
    + """
from stylerig_fast.generators import save_generator
from stylerig_fast.generators.formats import stylegan2_ada
from stylerig_fast.untrusted import check_finite, read_pickle

start = time.perf_counter()
tree = read_pickle(sys.argv[1])
check_finite(tree, sys.argv[1])
read = time.perf_counter()
generator = stylegan2_ada.convert(tree, sys.argv[1], "real size")
del tree
converted = time.perf_counter()
save_generator(sys.argv[2], generator)
figures(read=read - start, convert=converted - read, save=time.perf_counter() - converted)
"""
)
RUN = (
    FIGURES
    + """
import torch
from stylerig_fast.generators import load_generator

start = time.perf_counter()
generator = load_generator(sys.argv[2])
loaded = time.perf_counter()
ws = generator.sample(1, seed=1).requires_grad_(True)
image = generator.synthesis(ws)
assert image.shape == (1, 3, 1024, 1024) and torch.isfinite(image).all() and image.std() > 0.1
forward = time.perf_counter()
image.square().mean().backward()
assert (ws.grad.abs().amax((0, 2)) > 0).all()
figures(load=loaded - start, forward=forward - loaded, backward=time.perf_counter() - forward)
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pickle of 30 million parameters: configuration F at 1024 px."""
    place = tmp_path_factory.mktemp("real")
    channels = (512, 512, 512, 512, 512, 256, 128, 64, 32)
    write_ada(place / "file.pkl", random_network(channels, w_dim=512, mapping_layers=8))
    return place


def run(script: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-c", script, str(folder / "file.pkl"), str(folder / "converted")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    print({name: round(value / 2**30 if value > 1e6 else value, 2) for name, value in found.items()})
    return found


@pytest.mark.exhaustive
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_converts_and_runs(folder: Path) -> None:
    # The reader's process and the one that it hands the arrays to, as if both peaks fell together.
    assert run(CONVERT, folder)["both"] < 2 << 30
    assert run(RUN, folder)["peak"] < 8 << 30
