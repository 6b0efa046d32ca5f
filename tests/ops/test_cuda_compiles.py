"""The CUDA sources compile for what is shipped and stay in registers; needs nvcc, but no GPU."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from stylerig_fast.ops import _library, _recipe

ROOT = Path(__file__).resolve().parents[2]
NVCC = _recipe.find_nvcc()
SHIPPED = _recipe.DEFAULT_ARCHITECTURES.replace("+PTX", "")
pytestmark = pytest.mark.skipif(NVCC is None, reason="needs nvcc")

# Bytes of stack that a kernel may use: the argument reduction of sine and cosine in double takes 40, and a division in
# double is a call, over which lanes that wait for each other may be noted down in 8. Nothing else may.
STACK = {
    ("morphable_cuda", "pose_kernel"): 40,
    ("morphable_cuda", "pose_backward_kernel"): 40,
    ("morphable_cuda", "backward_kernel"): 8,
}


def resources(report):
    """Yields (kernel, architecture, stack bytes, spill bytes) from what ``-Xptxas -v`` prints."""
    demangled = subprocess.run(["c++filt"], input=report, capture_output=True, text=True, check=True).stdout
    blocks = re.split(r"Compiling entry function ", demangled)[1:]
    for block in blocks:
        name = re.search(r"(\w+)(?:<[^(]*>)?\(", block.replace("(anonymous namespace)", ""))
        architecture = re.search(r"for '(sm_\d+)'", block)
        used = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", block)
        assert name, block
        assert architecture, block
        assert used, block
        yield name[1], architecture[1], int(used[1]), int(used[2]) + int(used[3])


# One architecture stands for all: each costs a minute of two cores.
ARCHITECTURES = [
    "9.0",
    *(pytest.param(each, marks=pytest.mark.exhaustive) for each in SHIPPED.split(";") if each != "9.0"),
]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def compiled(tmp_path_factory, architecture):
    """What the compiler reports of every CUDA file, and the object that it made, by stem."""
    folder = tmp_path_factory.mktemp("cuda")
    include = Path(torch.__file__).parent / "include"
    flags = [*_recipe.NVCC_FLAGS, *_recipe.gencode_flags(architecture), "-Xptxas", "-v", "-Werror", "all-warnings"]
    flags += [f"-I{ROOT}/csrc", "-isystem", str(include), f"-DTORCH_TARGET_VERSION={_recipe.TORCH_TARGET}"]

    def compile_one(source):
        made = folder / f"{source.stem}.o"
        command = [str(NVCC), *flags, "-c", str(source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return source.stem, (done.stdout + done.stderr, made)

    with ThreadPoolExecutor(_recipe.parallel_jobs()) as pool:
        return dict(pool.map(compile_one, sorted((ROOT / "csrc").glob("*/*_cuda.cu"))))


def test_every_op_has_a_cuda_file_and_a_unique_stem():
    stems = [path.stem for path in (ROOT / "csrc").rglob("*") if path.suffix in (".cpp", ".cu")]
    assert len(stems) == len(set(stems))
    for op in _library.OPS:
        devices = [_library.ONLY_FOR[op]] if op in _library.ONLY_FOR else ["cpu", "cuda"]
        assert {f"{op}_{device}" for device in devices} <= set(stems)


def test_nothing_spills_and_nothing_uses_more_stack_than_it_did(compiled, architecture):
    seen = [(stem, *kernel) for stem, (report, _) in compiled.items() for kernel in resources(report)]
    assert {name for _, _, name, _, _ in seen} == {f"sm_{architecture.replace('.', '')}"}
    assert len({name for _, name, *_ in seen}) >= 14
    bad = [kernel for kernel in seen if kernel[4] > 0 or kernel[3] > STACK.get(kernel[:2], 0)]
    assert not bad, "kernels that spill or use stack (file, kernel, architecture, stack, spills):\n" + "\n".join(
        map(str, bad)
    )


def test_host_code_calls_no_function_of_the_device(compiled):
    # From a template nvcc compiles such a call without a word, into one of exit(): the whole process ends.
    for stem, (_, made) in compiled.items():
        undefined = subprocess.run(["nm", "-u", str(made)], capture_output=True, text=True, check=True).stdout
        assert "__cudaLaunchKernel" in undefined, stem
        assert "exit" not in undefined.split(), f"{stem}: a function that host code calls lacks STYLERIG_HD"
