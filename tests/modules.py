"""The modules of the package, and what they import of each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "stylerig_fast"
# Folders beside the package that are installed inside it.
MAPPED = ("benchmarks", "export")
# The dotted name of a module as a tuple, without ``stylerig_fast``.
Module = tuple[str, ...]


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


def import_graph() -> dict[Module, set[Module]]:
    """The modules that each module imports, imports inside functions and for types included.

    A package is the name of its ``__init__``. Importing a module of the own package also runs that ``__init__``, which
    Python allows halfway and which is no circle; only what it imports by name counts.
    """
    modules = {module[:-1] if module[-1] == "__init__" else module: (module, path) for module, path in sources()}
    graph: dict[Module, set[Module]] = {}
    for name, (module, path) in modules.items():
        targets = set()
        for target, _ in imported(module, ast.parse(path.read_text(encoding="utf-8"))):
            # A name behind `import` is a module, or something that the module before it defines.
            found = target if target in modules else target[:-1]
            if found in modules and found != name:
                targets.add(found)
        graph[name] = targets
    return graph


def circles(graph: dict[Module, set[Module]]) -> list[list[Module]]:
    """Groups of modules that reach each other (strongly connected components of two or more), sorted."""
    reached: dict[Module, set[Module]] = {}
    for start in graph:
        seen, waiting = set[Module](), list(graph[start])
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting.extend(graph[module])
        reached[start] = seen
    groups = {tuple(sorted(b for b in reached[a] if a in reached[b])) for a in graph if a in reached[a]}
    return sorted(list(group) for group in groups)
