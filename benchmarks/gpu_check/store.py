"""On a machine without the project: keeps the parts of a kit, unpacks what is complete, lays the package out.

``python -m benchmarks.gpu_check.store PART --kit FOLDER --store FOLDER`` keeps one part. A kit's archives follow each
other in one stream of bytes, which is cut into parts: what lies at its beginning is unpacked before the rest is there.
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

from .config import Setting

FORMAT = "stylerig-gpu-kit 1"
MANIFEST = "kit.json"
# What is copied of a checkout; export/ and benchmarks/ also inside the package, where pip puts them.
TREE = ("stylerig_fast", "benchmarks", "export", "tests", "csrc", "pyproject.toml")
INSIDE = ("benchmarks", "export")
# What the compiled operations are made of.
KERNELS = ("csrc", "stylerig_fast/ops/_recipe.py")


@dataclass(frozen=True)
class Piece:
    """A part of the stream, or an archive in it.

    Attributes:
        name: "1", "2", ... of parts; where an archive is unpacked to.
        size: its length in bytes.
        sha256: of it.
    """

    name: str
    size: int
    sha256: str

    @staticmethod
    def of(name: str, content: bytes) -> Piece:
        return Piece(name, len(content), hashlib.sha256(content).hexdigest())

    def check(self, content: bytes, where: object) -> None:
        """Raises ValueError if this is not the content that was packed."""
        if Piece.of(self.name, content) != self:
            raise ValueError(
                f"{where}: {len(content)} bytes that are not the {self.size} which were packed; carry it anew, or run "
                "`make gpu-kit` again"
            )


@dataclass(frozen=True)
class Manifest:
    """What a kit's stream consists of, and of which sources it was made.

    Attributes:
        parts: that the stream is cut into.
        archives: from its beginning.
        commit: of the checkout, as ``git`` knew it.
        sources: `digest` of the checkout.
        kernels: `digest` of what the carried library was compiled of.
    """

    parts: tuple[Piece, ...] = ()
    archives: tuple[Piece, ...] = ()
    commit: str = ""
    sources: str = ""
    kernels: str = ""

    def write(self, folder: Path) -> None:
        (folder / MANIFEST).write_text(json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> Manifest:
        """Raises ValueError if there is none of this version."""
        path = folder / MANIFEST
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: cannot be read ({error}); expected what `make gpu-kit` writes") from error
        if found.get("format") != FORMAT:
            raise ValueError(f"{path}: format {found.get('format')!r}, expected {FORMAT!r}; run `make gpu-kit` again")
        parts, archives = (tuple(Piece(**piece) for piece in found[kind]) for kind in ("parts", "archives"))
        return Manifest(parts, archives, found["commit"], found["sources"], found["kernels"])


def part_file(kit: Path, part: str) -> Path:
    """Where a kit has a part: in a folder of its own, which is carried or not."""
    return kit / f"part{part}" / f"payload.{part}"


def keep(part: str, kit: Path, store: Path) -> list[str]:
    """Keeps a part, and unpacks the archives that are complete with it.

    Returns:
        A line for each archive.

    Raises:
        ValueError: the kit has no such part, it was not carried, or it is damaged.
    """
    manifest = Manifest.read(kit / "common")
    piece = next((piece for piece in manifest.parts if piece.name == part), None)
    if piece is None:
        raise ValueError(f"the kit has no part {part}, but {', '.join(p.name for p in manifest.parts) or 'none'}")
    source = part_file(kit, part)
    if not source.is_file():
        raise ValueError(f"part {part} is missing: {source} is not there; carry the folder {source.parent.name}")
    content = source.read_bytes()
    piece.check(content, source)
    (store / "parts").mkdir(parents=True, exist_ok=True)
    (store / "parts" / piece.sha256).write_bytes(content)
    return unpack(manifest, store)


def unpack(manifest: Manifest, store: Path) -> list[str]:
    """Unpacks the archives of which every byte is there; a line for each says so, or which parts it waits for."""
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


def _overlapping(parts: Sequence[Piece], begin: int, end: int) -> list[tuple[int, Piece]]:
    """The parts that hold bytes of a range of the stream, with the place where each begins."""
    found, at = [], 0
    for part in parts:
        if at < end and at + part.size > begin:
            found.append((at, part))
        at += part.size
    return found


def prepare(setting: Setting) -> None:
    """Wheels unpacked, and the checkout laid out as it is now; its commit noted, for there is no git to ask."""
    assert setting.kit is not None
    manifest = Manifest.read(setting.kit / "common")
    target = setting.store / "wheels"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for wheel in sorted((setting.kit / "common" / "wheels").glob("*.whl")):
        # They are plain Python: unpacking them is all there is to installing them.
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    lay_out(setting.root, setting.tree)
    changed = "" if digest(setting.root) == manifest.sources or manifest.commit.endswith("+") else "+"
    setting.commit_file.write_text(manifest.commit and manifest.commit + changed)


def digest(root: Path, names: Sequence[str] = TREE) -> str:
    """The sha256 of files of a checkout, names and contents."""
    found = hashlib.sha256()
    for name in names:
        files = [root / name] if (root / name).is_file() else sorted((root / name).rglob("*"))
        for path in files:
            if path.is_file() and path.suffix != ".so" and "__pycache__" not in path.parts:
                found.update(path.relative_to(root).as_posix().encode() + b"\0")
                found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def lay_out(root: Path, tree: Path) -> None:
    """A copy of the checkout in which the package is complete, as an installation makes it."""
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
    parser = argparse.ArgumentParser(description="Keeps one part of a kit.")
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
