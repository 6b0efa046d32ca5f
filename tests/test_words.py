"""One thing has one name (docs/glossary.md): words that were given up do not come back, and class names are unique."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import pytest

from tests.modules import sources

# Words that no identifier may have in it, and what is said instead. Old files are still read, so the words may occur in
# strings: keys of checkpoints, of metrics.json, former options.
RETIRED = {
    "own": "source",
    "asked": "target, or edit",
    "judge": "analyzer",
    "looker": "analyzer",
    "witness": "reconstructor_agreement",
    "testimony": "reconstructor_agreement",
    "price": "side_effect_penalty",
    "mending": "corrective_direction",
    "stray": "off_target_change",
    "drift": "off_target_change",
    "survey": "DatasetStatistics",
    "world": "LinearEditModel",
    "personal": "person_dependent",
    "surroundings": "background",
    "standing": "iso_identity",
    "deviation": "std",
    "contestant": "system",
    "ceiling": "peak_rate",
    "codespace": "LatentPCA",
    # A figure is a picture (paper_figures.py); a number with an interval is an estimate.
    "Figure": "Estimate",
    "control_figures": "edit_accuracy",
    "keeping_figures": "preservation",
    "known_pose": "pose_cache",
    "KnownPose": "pose_cache",
}


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Every name that a module defines or uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.arg, ast.keyword)) and node.arg:
            yield node.arg
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")


def words_of(identifier: str) -> set[str]:
    """The identifier, and its parts in the singular: ``off_target_changes``, ``EditKind``."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)
    lowered = {part.lower() for part in parts}
    return {identifier, *lowered, *(part.removesuffix("s") for part in lowered)}


@cache
def places() -> dict[str, set[str]]:
    """Retired word to the modules that use it."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, path in sources():
        names = {*identifiers(ast.parse(path.read_text(encoding="utf-8"))), *module}
        for word in RETIRED.keys() & set().union(*map(words_of, names)):
            found[word].add(".".join(module))
    return found


@cache
def shared_classes() -> dict[str, list[str]]:
    """Public classes that more than one module defines."""
    found = defaultdict(list)
    for module, path in sources():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(".".join(module))
    return {name: modules for name, modules in found.items() if len(modules) > 1}


@pytest.mark.parametrize("word", sorted(RETIRED))
def test_a_retired_word_stays_away(word):
    modules = sorted(places().get(word, ()))
    assert not modules, f"say {RETIRED[word]!r} in place of {word!r} (docs/glossary.md): {', '.join(modules)}"


def test_class_names_are_unique():
    shared = shared_classes()
    assert not shared, f"give one of them another name: {shared}"


@pytest.mark.parametrize(
    ("identifier", "word"),
    [
        ("own_mean", "own"),
        ("measured_drifts", "drift"),
        ("SurveyOf", "survey"),
        ("LinearWorld", "world"),
        ("KnownPose", "KnownPose"),
    ],
)
def test_parts_of_identifiers_are_found(identifier, word):
    assert word in words_of(identifier)


def test_words_inside_others_are_not():
    assert not RETIRED.keys() & (words_of("download") | words_of("masked") | words_of("figures") | words_of("known"))
