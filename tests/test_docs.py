"""Every command that the guide and the README show is one that can be typed, and every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tyro

from stylerig_fast import __version__
from stylerig_fast.cli import COMMANDS, main
from stylerig_fast.commands.options import EngineOptions
from stylerig_fast.train.__main__ import Stage
from tests.stand_in import StandIn

ROOT = Path(__file__).resolve().parents[1]
AT_THE_ROOT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = [*AT_THE_ROOT, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
# Files that pages name in code font, and placeholders among them: `ops/x.py`, `generators/family.py`.
FILE = re.compile(r"`([\w./-]+\.(?:py|cpp|cu|h|toml|md)|\w+(?:/\w+)*/)`")
PLACEHOLDER = re.compile(r"(?:^|/)(?:test_)?(?:x|x_cpu|x_cuda|name|name_backend|family|project)[./]")
# Pages whose readers follow such names, and the folders that the names may start from.
BY_NAME = ("CONTRIBUTING", "SECURITY", "architecture", "extending", "method", "glossary")
STARTS = ("", "stylerig_fast", "stylerig_fast/generators")


def shell_lines(pages):
    """The commands of the pages' ``sh`` blocks, without comments, continued lines joined."""
    for page in pages:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words:
                    yield page.name, words


LINES = list(shell_lines(PAGES))


def shown(program):
    return [words[1:] for _, words in LINES if words[0].rpartition("/")[2] == program]


def test_the_command_line_page_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    """In order, since later lines read what earlier ones wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(EngineOptions, "open_engine", lambda options, dtype=None: StandIn())
    elsewhere = {"doctor", "evaluate", "convert", "export", "studio"}  # the real thing or no end: see test_parsing
    page = [words[1:] for name, words in LINES if words[0] == "stylerig" and name in ("README.md", "command-line.md")]
    commands = [words for words in page if words[0] not in elsewhere]
    assert {words[0] for words in commands} == set(COMMANDS) - elsewhere
    for words in commands:
        assert main(words) == 0, words
        assert Path(words[words.index("--out") + 1]).parent.is_dir()


@pytest.mark.parametrize("words", shown("stylerig"), ids=" ".join)
def test_parsing(words, monkeypatch):
    """Every shown command parses, those too that would take long."""
    monkeypatch.setattr(COMMANDS[words[0]], "run", lambda command: None)
    assert main(words) == 0


@pytest.mark.parametrize(
    "words", [words[3:] for _, words in LINES if words[1:3] == ["-m", "stylerig_fast.train"]], ids=" ".join
)
def test_training_commands_parse(words):
    tyro.cli(Stage, args=words)


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {word for words in shown("make") for word in words if "=" not in word}
    assert {"demo", "test"} <= named
    assert named <= targets


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def missing_files(page):
    """Files that a page names by their path, or by their name alone, and that are nowhere."""
    names = {name for name in FILE.findall(page.read_text(encoding="utf-8")) if not PLACEHOLDER.search(name)}
    everywhere = {
        path.name for folder in ("stylerig_fast", "csrc", "tests", "docs") for path in (ROOT / folder).rglob("*")
    }
    return {
        name
        for name in names
        if not any((ROOT / start / name).exists() for start in STARTS) and ("/" in name or name not in everywhere)
    }


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem in BY_NAME], ids=lambda page: page.stem)
def test_files_that_are_named_are_there(page):
    assert not missing_files(page)


def test_the_contents_name_every_page():
    contents = set(LINK.findall((ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    assert {page.name for page in PAGES if page.parent.name == "docs"} - {"README.md"} <= contents


def test_the_citation_and_the_security_page_know_the_version():
    assert re.search(
        rf"^version: {re.escape(__version__)}$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE
    )
    supported = ".".join(__version__.split(".")[:2])
    assert f"| {supported}.x | yes |" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
