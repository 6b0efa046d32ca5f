"""Facts about the house that pay: names, sizes of files, versions, what is pinned where."""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from collections import Counter
from pathlib import Path

import pytest

import stylerig_fast
from stylerig_fast.cli import COMMANDS, main
from tests.modules import ROOT, sources

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

MAX_LINES = 400
# Longer ones that wait to be split. They may not grow, and what has been split leaves the list.
KNOWN_LONG: dict[str, int] = {}


def test_compiled_sources_have_unique_stems():
    # x.cpp and x.cu in one library would both become x.o.
    stems = Counter(path.stem for suffix in ("cpp", "cu") for path in (ROOT / "csrc").rglob(f"*.{suffix}"))
    assert not [stem for stem, count in stems.items() if count > 1]


def test_files_stay_small():
    files = [path for _, path in sources()]
    files += [path for kind in ("h", "cuh", "cpp", "cu") for path in (ROOT / "csrc").rglob(f"*.{kind}")]
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    long = {name: count for name, count in lines.items() if count > KNOWN_LONG.get(name, MAX_LINES)}
    assert not long, f"split by subject before {MAX_LINES} lines: {long}"
    split = [name for name in KNOWN_LONG if lines.get(name, 0) <= MAX_LINES]
    assert not split, f"no longer too long, take them off the list: {split}"


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_versions_agree():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (.+)$", changelog, re.MULTILINE)
    assert newest
    assert stylerig_fast.__version__ in newest[1]


def test_every_package_is_installed():
    installed = runpy.run_path(str(ROOT / "setup.py"))["packages"]()
    folders = {
        ".".join(("stylerig_fast", *module[:-1])): path.parent.relative_to(ROOT)
        for module, path in sources()
        if module[-1] == "__init__"
    }
    assert {name: Path(folder) for name, folder in installed.items()} == folders


def test_every_folder_of_modules_is_a_package():
    folders = {path.parent for _, path in sources()}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]


def test_torch_is_pinned_once():
    pin = re.compile(r"\btorch\s*==\s*\d")
    files = [ROOT / name for name in ("pyproject.toml", "constraints.txt", "setup.py", "Makefile", ".ci/run")]
    assert [path.name for path in files if pin.search(path.read_text(encoding="utf-8"))] == ["constraints.txt"]


def test_dev_tools_are_pinned(pyproject):
    assert all("==" in requirement for requirement in pyproject["project"]["optional-dependencies"]["dev"])


def test_every_extra_and_dependency_floor_is_used(pyproject):
    """What pyproject.toml asks for is imported somewhere, so that nothing is installed for nothing."""
    import_names = {"pillow": "PIL"}
    text = "\n".join(path.read_text(encoding="utf-8") for _, path in sources())
    for requirement in pyproject["project"]["dependencies"]:
        name = re.split(r"[<>=\[]", requirement)[0]
        name = import_names.get(name, name)
        assert re.search(rf"^\s*(import|from) {name}\b", text, re.MULTILINE), f"{name} is never imported"


@pytest.mark.parametrize(
    "command", [[], *([name] for name in COMMANDS)], ids=lambda value: " ".join(value) or "stylerig"
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    assert "--help" in capsys.readouterr().out


def test_every_console_script_has_help(pyproject, capsys):
    scripts = pyproject["project"]["scripts"]
    assert set(scripts) == {"stylerig", "stylerig-bench"}
    for name, target in scripts.items():
        module, _, function = target.partition(":")
        with pytest.raises(SystemExit) as stopped:
            getattr(importlib.import_module(module), function)(["--help"])
        assert stopped.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: {name}")
