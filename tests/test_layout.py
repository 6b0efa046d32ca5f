"""Who may import whom: packages in layers, from the ground up, without exemptions."""

from __future__ import annotations

import ast

import pytest

from tests.modules import Module, circles, import_graph, imported, sources

# A package imports from the layers below its own and from nothing else: no circles, and two of one layer do not know
# each other. Imports inside functions and those for types alone count too.
LAYERS = (
    ("atomic_files", "errors", "images", "param_layout", "plotting", "strict_json", "warn"),
    ("checkpoint", "untrusted"),
    ("face",),
    ("ops", "params"),
    ("generators",),
    ("provenance",),
    ("reconstructor", "render"),
    ("rignet",),
    ("engine",),
    ("data", "export", "studio"),
    ("measurement",),
    ("open_face", "train"),
    ("evaluation",),
    ("commands",),
    ("cli",),
    ("benchmarks",),
)
# Likewise inside benchmarks/: how is timed, how results are shown, what is timed, the check of a GPU, the commands.
BENCHMARK_LAYERS = ("harness", "report", "suites", "gpu_check", "__main__")
LAYER = {package: number for number, packages in enumerate(LAYERS) for package in packages}


def not_below(module: tuple[str, ...], source: str) -> list[str]:
    """What a module imports of packages that are not below its own."""
    found = []
    for target, line in imported(module, ast.parse(source)):
        # `from stylerig_fast import __version__` asks the package itself, which imports nothing by then.
        package = target[0] if target and target[0] in LAYER else module[0]
        if package != module[0] and LAYER[package] >= LAYER[module[0]]:
            found.append(f"{'.'.join(module)}:{line} imports {'.'.join(target)}")
    return found


def test_every_package_has_a_layer():
    packages = {module[0] for module, _ in sources()} - {"__init__"}
    assert packages == set(LAYER), "see docs/architecture.md"


def test_imports_point_down():
    found = [
        line
        for module, path in sources()
        if module != ("__init__",)
        for line in not_below(module, path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_no_modules_import_each_other_in_a_circle():
    found = circles(import_graph())
    assert not found, "\n".join(" <-> ".join(".".join(module) for module in circle) for circle in found)


def test_a_circle_is_found():
    a, b, c, d = ("a",), ("b",), ("b", "c"), ("d",)
    assert circles({a: {b}, b: {c}, c: {a, d}, d: set()}) == [[a, b, c]]
    assert circles({a: {b, c}, b: {c}, c: {d}, d: set()}) == []


def test_imports_inside_the_benchmarks_point_down():
    layer: dict[Module, int] = {("benchmarks", name): number for number, name in enumerate(BENCHMARK_LAYERS)}
    found = [
        f"{'.'.join(module)} imports {'.'.join(target)}"
        for module, targets in import_graph().items()
        for target in targets
        if module[:2] in layer and target[:2] in layer and module[:2] != target[:2]
        if layer[target[:2]] >= layer[module[:2]]
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "from stylerig_fast.engine import Engine",
        "from stylerig_fast import engine",
        "import stylerig_fast.engine.engine",
        "from ..engine import Engine",
        "from stylerig_fast.ops import rasterize",  # of the layer above
        "def late():\n    from stylerig_fast.cli import main",
        "if TYPE_CHECKING:\n    from stylerig_fast.train import rig",
    ],
)
def test_an_import_that_does_not_point_down_is_found(source):
    assert not_below(("face", "model"), source)


def test_two_of_one_layer_do_not_know_each_other():
    assert LAYER["ops"] == LAYER["params"]
    assert not_below(("ops", "rasterize"), "from stylerig_fast.params import FaceParams")


def test_training_reads_no_estimator_that_judges_it():
    held_out = ("evaluation", "heldout_estimators")
    found = [
        f"{'.'.join(module)}:{line}"
        for module, path in sources()
        if module[0] in ("train", "measurement", "data", "engine")
        for target, line in imported(module, ast.parse(path.read_text(encoding="utf-8")))
        if target[:2] == held_out
    ]
    assert not found, f"{found} import what judges a rig that training has made"


def test_imports_of_what_is_below_of_the_own_package_and_of_others_are_fine():
    source = (
        "import torch\nfrom engine import x\nfrom stylerig_fast.errors import FaceModelError\nfrom .model import Face"
    )
    assert not_below(("face", "camera"), source) == []
