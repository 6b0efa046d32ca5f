"""What every step that is a module of this folder is told, and where it leaves its results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Task:
    """One step.

    Attributes:
        device: where.
        small: tiny sizes, for dry runs.
        json: the file of its results; None to keep none.
        words: its own options.
    """

    device: torch.device
    small: bool
    json: Path | None
    words: argparse.Namespace

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def save(self, found: Mapping[str, Any]) -> None:
        """Writes the results; again and again while they grow, so that a limit takes only what was not there yet."""
        if self.json is not None:
            self.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def parser(about: str | None) -> argparse.ArgumentParser:
    """With the options of every step."""
    found = argparse.ArgumentParser(description=(about or "").split("\n")[0])
    found.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    found.add_argument("--small", action="store_true", help="tiny sizes, for dry runs")
    found.add_argument("--json", type=Path, help="write the results to this file")
    return found


def task(words: argparse.Namespace) -> Task:
    """Raises SystemExit with a sentence where there is no such device."""
    if words.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"no CUDA device: torch {torch.__version__}, built for CUDA {torch.version.cuda}, sees none")
    return Task(torch.device(words.device), words.small, words.json, words)


def first_line(error: BaseException, length: int = 200) -> str:
    """An error as one line of a report."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:length]
