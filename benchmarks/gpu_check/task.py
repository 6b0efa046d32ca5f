"""What every step that is a module of this folder is given, and where it writes its results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class CheckTask:
    """One step.

    Attributes:
        device: to run on.
        small: use tiny sizes, for dry runs.
        json: file of the results; None to write none.
        options: all options of the command line, the step's own among them.
    """

    device: torch.device
    small: bool
    json: Path | None
    options: argparse.Namespace

    @staticmethod
    def of(options: argparse.Namespace) -> CheckTask:
        """The task that a command line describes; raises SystemExit if there is no such device."""
        if options.device == "cuda" and not torch.cuda.is_available():
            raise SystemExit(
                f"no CUDA device: torch {torch.__version__}, built for CUDA {torch.version.cuda}, sees none"
            )
        return CheckTask(torch.device(options.device), options.small, options.json, options)

    @property
    def cuda(self) -> bool:
        """Whether it runs on a GPU."""
        return self.device.type == "cuda"

    def save(self, results: Mapping[str, Any]) -> None:
        """Writes the results: again whenever they grow, so that a time limit loses only what comes later."""
        if self.json is not None:
            self.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def argument_parser(about: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every step has."""
    parser = argparse.ArgumentParser(description=(about or "").split("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for dry runs")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    return parser


def first_line(error: BaseException, length: int = 200) -> str:
    """An error as one line of a report."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:length]
