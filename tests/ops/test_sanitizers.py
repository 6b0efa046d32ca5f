"""The CPU kernels' tests once more, with the kernels built for the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stylerig_fast.ops import _recipe

ROOT = Path(__file__).resolve().parents[2]
FLAGS = "-g -O0 -fno-omit-frame-pointer -DSTYLERIG_NO_CLONES -fsanitize=address,undefined,float-cast-overflow"
# What says nothing about memory, and what starts compilers of its own.
LEFT_OUT = (
    "gradcheck or opcheck or compiles or golden or million or single_precision or follows_reference_in_double or "
    "pretrained or deep"
)

TESTED = (
    "rasterize",
    "vertex_normals",
    "masked_photometric",
    "morphable",
    "mobile_synthesis",
    "styled_epilogue",
    "upsample_filter",
)


def runtime(name):
    """The sanitizer's library, which has to be loaded before everything else."""
    compiler = (_recipe.find_compiler() or "c++").split()
    done = subprocess.run([*compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=False)
    path = Path(done.stdout.strip())
    return path.resolve() if path.is_absolute() and path.exists() else None


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="sanitizers are preloaded the Linux way")
@pytest.mark.skipif(bool(_recipe.why_not_buildable()), reason=f"cannot build: {_recipe.why_not_buildable()}")
def test_kernels_under_address_and_undefined_behaviour_sanitizers(tmp_path, monkeypatch):
    preload = [path for path in map(runtime, ("libasan.so", "libubsan.so")) if path]
    if len(preload) < 2:
        pytest.skip("the compiler has no sanitizers")
    monkeypatch.setenv("CXXFLAGS", FLAGS)
    monkeypatch.setenv("LDFLAGS", "-fsanitize=address,undefined")
    library = tmp_path / "sanitized.so"
    _recipe.build(_recipe.make_plan(ROOT / "csrc", cuda=False), tmp_path / "objects", library)
    environment = {
        **os.environ,
        "LD_PRELOAD": ":".join(map(str, preload)),
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",  # Python and torch keep what they allocate
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "STYLERIG_KERNELS": str(library),
        "OMP_NUM_THREADS": "2",
    }
    tests = [f"tests/ops/test_{op}.py" for op in TESTED]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"not ({LEFT_OUT})", *tests]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    assert "AddressSanitizer" not in done.stderr
    assert "runtime error" not in done.stderr
    assert "passed" in done.stdout
