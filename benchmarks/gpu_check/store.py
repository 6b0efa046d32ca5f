"""On a machine without the project: stores the parts of a kit, unpacks complete archives, lays out the package.

``python -m benchmarks.gpu_check.store PART --kit FOLDER --store FOLDER`` stores one part. A kit's archives are
concatenated to one stream, which is cut into parts: the first archives are unpacked before the last parts are there.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .config import CheckConfig

FORMAT = "stylerig-gpu-kit 1"
MANIFEST = "kit.json"
# What is copied of a checkout; benchmarks/ and export/ are also copied into the package, where pip installs them.
TREE = ("stylerig_fast", "benchmarks", "export", "tests", "csrc", "pyproject.toml")
INSIDE = ("benchmarks", "export")
# What the compiled operations depend on.
KERNELS = ("csrc", "stylerig_fast/ops/_recipe.py")


@dataclass(frozen=True)
class KitPiece:
    """A part of the stream, or an archive in it.

    Attributes:
        name: "1", "2", ... of a part; folder that an archive is unpacked to.
        size: in bytes.
        sha256: of the content.
    """

    name: str
    size: int
    sha256: str

    @staticmethod
    def of(name: str, content: bytes) -> KitPiece:
        """The piece with this content."""
        return KitPiece(name, len(content), hashlib.sha256(content).hexdigest())

    def check(self, content: bytes, where: object) -> None:
        """Raises ValueError, naming ``where``, if this is not the content that was packed."""
        if KitPiece.of(self.name, content) != self:
            raise ValueError(
                f"{where}: {len(content)} bytes that are not the {self.size} which were packed; copy it again, or run "
                "`make gpu-kit` again"
            )


@dataclass(frozen=True)
class KitManifest:
    """The contents of a kit's stream, and the sources it was made from.

    Attributes:
        parts: that the stream is cut into, in order.
        archives: that it consists of, in order.
        commit: of the checkout.
        sources: `digest` of the checkout.
        kernels: `digest` of the sources of the compiled library.
    """

    parts: tuple[KitPiece, ...] = ()
    archives: tuple[KitPiece, ...] = ()
    commit: str = ""
    sources: str = ""
    kernels: str = ""

    def write(self, folder: Path) -> None:
        """Writes the manifest into a folder."""
        (folder / MANIFEST).write_text(json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> KitManifest:
        """Reads the manifest of a folder; raises ValueError if there is none of this version."""
        path = folder / MANIFEST
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: cannot be read ({error}); expected what `make gpu-kit` writes") from error
        if content.get("format") != FORMAT:
            raise ValueError(f"{path}: format {content.get('format')!r}, expected {FORMAT!r}; run `make gpu-kit` again")
        parts, archives = (tuple(KitPiece(**piece) for piece in content[kind]) for kind in ("parts", "archives"))
        return KitManifest(parts, archives, content["commit"], content["sources"], content["kernels"])


def part_file(kit: Path, part: str) -> Path:
    """Path of a part in a kit: each is in its own folder, to be copied or not."""
    return kit / f"part{part}" / f"payload.{part}"


def keep(part: str, kit: Path, store: Path) -> list[str]:
    """Stores a part, and unpacks the archives that it completes.

    Args:
        part: its name.
        kit: folder of the kit.
        store: folder kept between calls.

    Returns:
        A line for each archive.

    Raises:
        ValueError: the kit has no such part, it was not copied, or it is damaged.
    """
    manifest = KitManifest.read(kit / "common")
    piece = next((piece for piece in manifest.parts if piece.name == part), None)
    if piece is None:
        raise ValueError(f"the kit has no part {part}, but {', '.join(p.name for p in manifest.parts) or 'none'}")
    source = part_file(kit, part)
    if not source.is_file():
        raise ValueError(f"part {part} is missing: {source} is not there; copy the folder {source.parent.name}")
    content = source.read_bytes()
    piece.check(content, source)
    (store / "parts").mkdir(parents=True, exist_ok=True)
    (store / "parts" / piece.sha256).write_bytes(content)
    return unpack(manifest, store)


def unpack(manifest: KitManifest, store: Path) -> list[str]:
    """Unpacks complete archives; returns a line for each: where it is, or which parts it waits for."""
    lines, begin = [], 0
    for archive in manifest.archives:
        end = begin + archive.size
        target, stamp = store / "unpacked" / archive.name, store / "unpacked" / f"{archive.name}.sha256"
        needed = _overlapping(manifest.parts, begin, end)
        missing = [part.name for _, part in needed if not (store / "parts" / part.sha256).is_file()]
        if stamp.is_file() and stamp.read_text() == archive.sha256:
            lines.append(f"{archive.name}: unpacked before")
        elif missing:
            lines.append(f"{archive.name}: waits for part {', '.join(missing)}")
        else:
            first = needed[0][0] if needed else begin
            content = b"".join((store / "parts" / part.sha256).read_bytes() for _, part in needed)
            content = content[begin - first : end - first]
            archive.check(content, f"the archive {archive.name}")
            shutil.rmtree(target, ignore_errors=True)
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as files:
                files.extractall(target, filter="data")
            stamp.write_text(archive.sha256)
            lines.append(f"{archive.name}: unpacked to {target}")
        begin = end
    return lines


def _overlapping(parts: Sequence[KitPiece], begin: int, end: int) -> list[tuple[int, KitPiece]]:
    """The parts that overlap a range of the stream, each with its offset."""
    overlapping, at = [], 0
    for part in parts:
        if at < end and at + part.size > begin:
            overlapping.append((at, part))
        at += part.size
    return overlapping


def prepare(config: CheckConfig) -> None:
    """Unpacks the wheels, lays out the checkout as it is now, and writes its commit, because there is no git to ask."""
    assert config.kit is not None
    manifest = KitManifest.read(config.kit / "common")
    target = config.store / "wheels"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for wheel in sorted((config.kit / "common" / "wheels").glob("*.whl")):
        # They are pure Python, so that unpacking installs them.
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    lay_out(config.root, config.tree)
    changed = "" if digest(config.root) == manifest.sources or manifest.commit.endswith("+") else "+"
    config.commit_file.write_text(manifest.commit and manifest.commit + changed)


def digest(root: Path, names: Sequence[str] = TREE) -> str:
    """The sha256 of the names and contents of files of a checkout."""
    total = hashlib.sha256()
    for name in names:
        files = [root / name] if (root / name).is_file() else sorted((root / name).rglob("*"))
        for path in files:
            if path.is_file() and path.suffix != ".so" and "__pycache__" not in path.parts:
                total.update(path.relative_to(root).as_posix().encode() + b"\0")
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def lay_out(root: Path, tree: Path) -> None:
    """Copies the checkout into ``tree``, with the package complete as an installation has it."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for name in TREE:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=ignored)
        elif source.is_file():
            shutil.copy(source, tree / name)
    for name in INSIDE:
        shutil.copytree(root / name, tree / "stylerig_fast" / name, ignore=ignored)


def main(args: Sequence[str] | None = None) -> int:
    """Stores one part of a kit; the exit status of the step."""
    parser = argparse.ArgumentParser(description="Stores one part of a kit.")
    parser.add_argument("part")
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    options = parser.parse_args(args)
    try:
        for line in keep(options.part, options.kit, options.store):
            print(line)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
