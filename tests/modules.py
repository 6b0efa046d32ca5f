"""The modules of the package, and what they import of each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "stylerig_fast"
# Folders beside the package that are installed inside it.
MAPPED = ("benchmarks", "export")


def sources() -> Iterator[tuple[tuple[str, ...], Path]]:
    """Dotted name (as a tuple, without ``stylerig_fast``) and path of every module of the package."""
    folders = [(PACKAGE, ()), *((ROOT / name, (name,)) for name in MAPPED)]
    for folder, prefix in folders:
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield (*prefix, *parts), path


def imported(module: tuple[str, ...], tree: ast.AST) -> Iterator[tuple[tuple[str, ...], int]]:
    """What a module imports of this package, without ``stylerig_fast``, and in which line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head, *rest = alias.name.split(".")
                if head == "stylerig_fast":
                    yield tuple(rest), node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                base = (*module[: len(module) - node.level], *base)
            elif base[:1] == ("stylerig_fast",):
                base = base[1:]
            else:
                continue
            # `from stylerig_fast.face import building`: the name behind `import` may be a module too.
            for alias in node.names:
                yield (*base, alias.name), node.lineno
