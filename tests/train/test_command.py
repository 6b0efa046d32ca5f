"""``python -m stylerig_fast.train`` in an installation that lacks optional packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NEEDED = {
    "sample": "--out {0}/set",
    "reconstructor": "--data {0} --runs {0}/runs",
    "rig": "--data {0} --reconstructor {0} --runs {0}/runs",
}
# Hides the packages that its first argument names, as if they were not installed; then runs the command.
HIDING = """
import runpy, sys

missing = sys.argv[1].split(",")

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in missing else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Hiding, sys.meta_path)
del sys.argv[1]
runpy.run_module("stylerig_fast.train", run_name="__main__", alter_sys=True)
"""
ALL = "pyarrow,rich,tensorboard,dlib,face_recognition_models"


def run(missing: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDING, missing, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("words", [[], *([stage] for stage in NEEDED)], ids=lambda words: " ".join(words) or "train")
def test_help_needs_no_optional_package(words: list[str]) -> None:
    done = run(ALL, *words, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: python -m stylerig_fast.train"), done.stderr


@pytest.mark.parametrize(
    ("stage", "missing", "install"),
    [
        *(
            (stage, package, "stylerig-fast[train]")
            for stage in NEEDED
            for package in ("pyarrow", "rich", "tensorboard")
        ),
        *((stage, "dlib", "pip install dlib-bin") for stage in ("sample", "rig")),
        *((stage, "face_recognition_models", "face-recognition-models==") for stage in ("sample", "rig")),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(
    stage: str, missing: str, install: str, tmp_path: Path
) -> None:
    if missing == "face_recognition_models":
        pytest.importorskip("dlib")
    done = run(missing, stage, *NEEDED[stage].format(tmp_path).split())
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and install in line
    assert not list(tmp_path.iterdir())


def test_a_rig_without_edited_pictures_needs_no_landmarks(tmp_path: Path) -> None:
    words = [*NEEDED["rig"].format(tmp_path).split(), "--images.people", "0", "--gains.people", "0"]
    done = run("dlib,face_recognition_models", "rig", *words)
    assert done.returncode == 2 and "portrait" in done.stderr, "the empty folder has no portraits"
