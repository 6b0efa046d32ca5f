"""Landmark vertices that a user gives as a text file."""

from __future__ import annotations

import re
from pathlib import Path

from stylerig_fast.errors import FaceModelError

MAX_BYTES = 1 << 20
_COMMENT = re.compile(r"[;#].*")
_PAIR = re.compile(r'^\s*"?(\d{1,9})"?\s*(?:=|\s)\s*"?(\d{1,9})"?\s*,?\s*$', re.ASCII)
_HINT = (
    "expected 68 vertex numbers (from 0) in iBUG's order, or an eos mapping with lines `37 = 177` (landmark 1 to 68)"
)


def read_landmark_file(path: str | Path) -> dict[int, int]:
    """Vertices by iBUG number from 0.

    Args:
        path: text: 68 vertex numbers, or a mapping as eos has them (``ibug_to_sfm.txt``, the older form with braces
            or the newer one with ``=``), which may leave landmarks out.

    Raises:
        FaceModelError: it is neither.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise FaceModelError(f"{path}: the landmarks cannot be read ({error}); {_HINT}") from error
    if len(text) > MAX_BYTES:
        raise FaceModelError(f"{path}: longer than {MAX_BYTES} bytes; {_HINT}")
    lines = [_COMMENT.sub("", line) for line in text.splitlines()]
    found = _mapping(lines, path) if "landmark" in text.lower() or "=" in text else _list(lines)
    if not found:
        raise FaceModelError(f"{path}: no list of landmarks; {_HINT}")
    return found


def _mapping(lines: list[str], path: str | Path) -> dict[int, int]:
    found: dict[int, int] = {}
    for line in lines:
        if "contour" in line:  # the lists of contour vertices that follow are no landmarks
            break
        pair = _PAIR.match(line)
        if pair is None:
            continue
        number, vertex = int(pair[1]), int(pair[2])
        if not 1 <= number <= 68 or number - 1 in found:
            raise FaceModelError(f"{path}: landmark {number} is given twice, or outside 1 to 68")
        found[number - 1] = vertex
    return found


def _list(lines: list[str]) -> dict[int, int]:
    words = re.split(r"[\s,\[\]]+", " ".join(lines).strip(" ,[]\t"))
    if len(words) != 68 or not all(re.fullmatch(r"\d{1,9}", word, re.ASCII) for word in words):
        return {}
    return dict(enumerate(map(int, words)))
