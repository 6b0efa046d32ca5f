"""The page's logic without a browser; JavaScript runs in node, and `js/page_logic.mjs` says what must hold."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

NODE = shutil.which("node")
STATIC = Path(str(files("stylerig_fast"))) / "studio" / "static"


@pytest.mark.skipif(NODE is None, reason="node, which runs the page's JavaScript, is not installed")
def test_page_logic(tmp_path):
    # Outside the package, with a package.json, node takes *.js for modules whatever its version.
    for folder in ("js", "mesh"):
        shutil.copytree(STATIC / folder, tmp_path / folder)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    script = Path(__file__).parent / "js" / "page_logic.mjs"
    assert NODE is not None
    done = subprocess.run([NODE, str(script), str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout


def pages_files() -> list[Path]:
    return [path for kind in ("js", "css", "html") for path in STATIC.rglob(f"*.{kind}") if "vendor" not in path.parts]


def test_files_of_the_page_stay_small():
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in pages_files()}
    assert len(lines) > 30
    assert not {name: count for name, count in lines.items() if count > 300}


def test_the_page_loads_nothing_from_elsewhere():
    # SVG's name space is a name; comments may say where something is described.
    address = re.compile(r"""["'`(]\s*(?:https?:)?//(?!www\.w3\.org/2000/svg)""")
    assert [path.name for path in pages_files() if address.search(path.read_text(encoding="utf-8"))] == []


def test_every_style_sheet_is_linked():
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert [path.name for path in (STATIC / "style").glob("*.css") if f'"style/{path.name}"' not in page] == []
