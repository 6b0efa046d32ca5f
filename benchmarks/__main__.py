"""``stylerig-bench``: one subcommand for each benchmark."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import tyro

from stylerig_fast.cli import EXPECTED

from .report.compare import CompareCommand
from .report.page_command import PageCommand
from .suites.all import AllBenchmarks
from .suites.batch import BatchBenchmark
from .suites.edit import EditBenchmark
from .suites.ops.benchmark import OpsBenchmark
from .suites.start_up import StartUpBenchmark
from .suites.studio import StudioBenchmark
from .suites.train import TrainBenchmark


class BenchCommand(Protocol):
    """A command with its options."""

    def run(self) -> None: ...


COMMANDS: dict[str, Callable[..., BenchCommand]] = {
    "edit": EditBenchmark,
    "batch": BatchBenchmark,
    "start-up": StartUpBenchmark,
    "train": TrainBenchmark,
    "ops": OpsBenchmark,
    "studio": StudioBenchmark,
    "all": AllBenchmarks,
    "compare": CompareCommand,
    "page": PageCommand,
}


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command; ``args`` and the exit status are those of `stylerig_fast.cli.main`."""
    command: BenchCommand = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="stylerig-bench",
        description="Timings, each beside its parity with plain torch.",
        args=args,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    try:
        command.run()
    except EXPECTED as error:
        if os.environ.get("STYLERIG_TRACEBACK"):
            raise
        print(f"stylerig-bench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
