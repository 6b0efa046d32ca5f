"""``make gpu-kit``: packs what a bare GPU machine lacks, cut into parts so that each call copies less than a limit.

Such a machine has Python 3.12, torch with CUDA and common packages, but no package index and nothing of this project:
every call copies the working tree to it. The kit holds compiled operations and wheels (``common``, copied with every
call), and the portrait generator and TensorRT for RTX (``part1``, ``part2``, ..., one with each call).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stylerig_fast.generators import pretrained, save_generator
from stylerig_fast.ops import _recipe

from ..harness.machine import commit
from .store import KERNELS, KitManifest, KitPiece, digest, part_file

ROOT = Path(__file__).resolve().parents[2]
# Packages that such machines lack: tyro with its dependencies, and platformdirs.
WHEELS = ("tyro>=1.0", "typeguard", "docstring-parser", "platformdirs>=4")
TENSORRT = ("tensorrt-rtx-cu13-libs==1.7.1.116", "tensorrt-rtx-cu13-bindings==1.7.1.116")
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
# Bytes that a call may copy, working tree included: 64 MiB less half a MiB for overhead that is not counted here.
LIMIT = (64 << 20) - (1 << 19)
# Smaller parts are not worth a call.
SMALLEST = 1 << 20


@dataclass(frozen=True)
class KitArchive:
    """An archive to be unpacked on the machine; built once for the same source.

    Attributes:
        name: folder that it is unpacked to.
        source: names and versions of what is in it.
        fill: writes its files into a folder.
    """

    name: str
    source: str
    fill: Callable[[Path], None]

    def packed(self, work: Path) -> bytes:
        """The content of the archive, from ``work`` if it was built for the same source before."""
        key = hashlib.sha256(self.source.encode()).hexdigest()[:16]
        built = work / f"{self.name}-{key}.tar.xz"
        if not built.is_file():
            with tempfile.TemporaryDirectory(dir=work) as folder:
                files = Path(folder) / "files"
                files.mkdir()
                self.fill(files)
                new = Path(folder) / built.name
                new.write_bytes(compress(files))
                new.replace(built)
        return built.read_bytes()


def compress(folder: Path) -> bytes:
    """A folder's files as .tar.xz; by the program xz if there is one, because it uses every core."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, arcname=".")
    if shutil.which("xz"):
        command = ["xz", "-6", "--threads=0", "--stdout"]
        return subprocess.run(command, input=buffer.getvalue(), stdout=subprocess.PIPE, check=True).stdout
    return lzma.compress(buffer.getvalue(), preset=6)


def fetch(folder: Path, requirements: Sequence[str]) -> None:
    """Downloads wheels for the machine, without their dependencies."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run([*command, "--dest", str(folder), *requirements], check=True)


def portrait_generator(folder: Path) -> None:
    """Writes the user's cache as `pretrained.load_pretrained` does."""
    target = folder / "stylerig_fast" / "generators" / f"{pretrained.NAMES[0]}-{pretrained.CONVERTER}"
    source = f"{pretrained.PACKAGE}=={pretrained.VERSION}"
    save_generator(target, pretrained.load_pretrained(), package=source, source_sha256=pretrained.SHA256)


def tensorrt(folder: Path) -> None:
    """Writes TensorRT for RTX as pip installs it."""
    with tempfile.TemporaryDirectory() as wheels:
        fetch(Path(wheels), TENSORRT)
        for wheel in sorted(Path(wheels).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)


ARCHIVES = {
    "generator": KitArchive(
        "generator", f"{pretrained.PACKAGE} {pretrained.VERSION} {pretrained.CONVERTER}", portrait_generator
    ),
    "tensorrt": KitArchive("tensorrt", " ".join((*TENSORRT, PYTHON)), tensorrt),
}


def compile_kernels(work: Path, architectures: str) -> Path:
    """Compiles the operations with CUDA; unchanged sources are not compiled again.

    The library uses torch's stable interface: built with any torch from 2.10 on, CPU builds included, it loads with
    the machine's torch.
    """
    os.environ["STYLERIG_BUILD_CUDA"] = "1"
    if architectures:
        os.environ["TORCH_CUDA_ARCH_LIST"] = architectures
    plan, start = _recipe.make_plan(ROOT / "csrc"), time.monotonic()
    print(plan.describe(), flush=True)
    library = work / "_kernels.so"
    _recipe.build(plan, work / "objects", library)
    print(f"compiled in {time.monotonic() - start:.0f} s", flush=True)
    return library


def working_tree(root: Path) -> int:
    """Bytes of the files that are copied: those that git tracks, and new ones that it does not ignore."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    return sum((root / name).lstat().st_size for name in names if name and (root / name).is_file())


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cut(archives: Sequence[tuple[str, bytes]], room: int, kit: Path) -> KitManifest:
    """Concatenates archives and writes them as parts of at most ``room`` bytes.

    Args:
        archives: names and contents, in the order in which they are needed.
        room: bytes of a part.
        kit: folder of the kit.

    Raises:
        ValueError: there is hardly any room.
    """
    if archives and room < SMALLEST:
        raise ValueError(
            f"{room} bytes are left for a part: the working tree and the compiled operations fill the limit; raise "
            "--limit, or move large files that git does not ignore out of the tree"
        )
    stream = b"".join(content for _, content in archives)
    parts = []
    for number, begin in enumerate(range(0, len(stream), room) if stream else (), 1):
        piece = KitPiece.of(str(number), stream[begin : begin + room])
        path = part_file(kit, piece.name)
        path.parent.mkdir(parents=True)
        path.write_bytes(stream[begin : begin + room])
        parts.append(piece)
    return KitManifest(tuple(parts), tuple(KitPiece.of(name, content) for name, content in archives))


def pack(
    kit: Path, work: Path, limit: int, kernels: Path | None, architectures: str, names: Sequence[str]
) -> KitManifest:
    """Writes a kit.

    Args:
        kit: its folder; previous content is removed.
        work: folder of what is kept for the next time.
        limit: bytes that a call may copy.
        kernels: a compiled library; None compiles one, if there is an nvcc.
        architectures: of the GPUs, in torch's notation; "" for those that an installation compiles for.
        names: of `ARCHIVES`.
    """
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(kit, ignore_errors=True)
    common = kit / "common"
    fetch(common / "wheels", WHEELS)
    if kernels is None and _recipe.find_nvcc() is not None:
        kernels = compile_kernels(work, architectures)
    if kernels is None:
        print("no nvcc here: the operations will be compiled on the machine, in about a minute")
    else:
        (common / "_kernels.so.xz").write_bytes(lzma.compress(kernels.read_bytes(), preset=9))
    contents = []
    for name in names:
        print(f"packing {name}", flush=True)
        contents.append((name, ARCHIVES[name].packed(work)))
    # Bytes of the manifest and of the folders themselves.
    tree = working_tree(ROOT)
    room = limit - tree - size_of(common) - (16 << 10)
    manifest = replace(cut(contents, room, kit), commit=commit(), sources=digest(ROOT), kernels=digest(ROOT, KERNELS))
    manifest.write(common)
    print(f"working tree {tree:,} bytes, common {size_of(common):,}, limit {limit:,}")
    for part in manifest.parts:
        print(f"part{part.name} {part.size:,} bytes: a call copies {tree + size_of(common) + part.size:,}")
    return manifest


def calls(kit: Path, manifest: KitManifest) -> list[str]:
    """The commands of a whole check: each with one part, and stages after the parts that they need."""
    stages = ["probe build test sanitize", "ops bench", "tensorrt train"]
    parts = [piece.name for piece in manifest.parts]
    # With more parts than groups of stages, the last group comes with the last part.
    groups = [*stages[:-1], *[""] * (len(parts) - len(stages)), stages[-1]]
    lines = []
    for index, group in enumerate(groups):
        part = parts[index] if index < len(parts) else ""
        words = [f"store:{part}"] if part else []
        copied = f"{kit.name}/common" + (f" {kit.name}/part{part}" if part else "")
        command = " ".join(["python3 -m benchmarks.gpu_check --kit", kit.name, *words, *group.split()])
        lines.append(f"with {copied}:\n  {command}")
    return lines


def main(args: Sequence[str] | None = None) -> int:
    """Writes the kit; the exit status of the command."""
    parser = argparse.ArgumentParser(description="Packs what a GPU machine without a package index lacks.")
    parser.add_argument("--kit", type=Path, default=ROOT / ".gpu-kit", help="folder to write (default .gpu-kit)")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "gpu-kit", help="kept for the next time")
    parser.add_argument("--limit", type=int, default=LIMIT, help="bytes that a call may copy, working tree included")
    parser.add_argument(
        "--architectures", default="", help="of the GPU, such as 9.0; by default those of an installation"
    )
    parser.add_argument("--kernels", type=Path, help="a compiled library, in place of compiling one")
    parser.add_argument("--archives", nargs="*", choices=tuple(ARCHIVES), default=tuple(ARCHIVES), help="what to pack")
    options = parser.parse_args(args)
    try:
        kit, work = options.kit.resolve(), options.work.resolve()
        manifest = pack(kit, work, options.limit, options.kernels, options.architectures, options.archives)
    except (ValueError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"gpu-kit: error: {error}", file=sys.stderr)
        return 2
    print("in the root of the working tree on the machine,")
    print("\n".join(calls(kit, manifest)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
