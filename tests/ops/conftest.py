"""Fixtures of the tests of the ops."""

from __future__ import annotations

import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from stylerig_fast.ops import _recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def emulated(tmp_path_factory):
    """The CUDA sources as plain C++, registered as torch.ops.stylerig_emulated."""
    problem = _recipe.why_not_buildable()
    if problem:
        pytest.skip(f"needs a C++ compiler: {problem}")
    folder = tmp_path_factory.mktemp("emulated")
    include = Path(torch.__file__).parent / "include"
    flags = (
        f"-std=c++17 -O1 -g -fPIC -ffp-contract=off -Wall -Werror -Wno-unknown-pragmas -DSTYLERIG_EMULATE_CUDA "
        # A GPU refuses wide loads that are not aligned; a CPU makes them.
        "-fsanitize=alignment -fno-sanitize-recover=alignment "
        f"-DSTYLERIG_NAMESPACE=stylerig_emulated -DTORCH_TARGET_VERSION={_recipe.TORCH_TARGET}"
    )
    sources = [*sorted((ROOT / "csrc").glob("*/*_cuda.cu")), ROOT / "csrc" / "registration.cpp"]
    assert len(sources) == 9

    def compile_one(source):
        output = folder / f"{source.stem}.o"
        command = [*shlex.split(str(_recipe.find_compiler())), *flags.split(), f"-I{Path(__file__).parent}/emulation"]
        command += [f"-I{ROOT}/csrc", "-isystem", str(include), "-x", "c++", "-c", str(source), "-o", str(output)]
        subprocess.run(command, check=True)
        return str(output)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, sources))
    library = folder / "emulated.so"
    torch_lib = f"-L{Path(torch.__file__).parent}/lib"
    command = [
        *shlex.split(str(_recipe.find_compiler())),
        "-shared",
        "-fsanitize=alignment",
        *objects,
        torch_lib,
        "-ltorch",
        "-ltorch_cpu",
    ]
    subprocess.run([*command, "-o", str(library)], check=True)
    torch.ops.load_library(str(library))
    return torch.ops.stylerig_emulated
