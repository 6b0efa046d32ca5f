"""``stylerig-bench``: one subcommand for each benchmark."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import tyro

from stylerig_fast.cli import EXPECTED

from .report.compare import Compare
from .suites.all import All, Page
from .suites.batch import Batch
from .suites.edit import Edit
from .suites.ops.benchmark import Options as Ops
from .suites.start_up import StartUp
from .suites.studio import Studio
from .suites.train import Train


class Command(Protocol):
    """A benchmark with its options filled in."""

    def run(self) -> None: ...


COMMANDS: dict[str, Callable[..., Command]] = {
    "edit": Edit,
    "batch": Batch,
    "start-up": StartUp,
    "train": Train,
    "ops": Ops,
    "studio": Studio,
    "all": All,
    "compare": Compare,
    "page": Page,
}


def main(args: Sequence[str] | None = None) -> int:
    """Runs one benchmark; ``args`` and what it returns as in `stylerig_fast.cli.main`."""
    command: Command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="stylerig-bench",
        description="Timings beside their parity figures.",
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
