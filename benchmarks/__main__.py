"""``stylerig-bench``: one subcommand for each benchmark."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from .ops import __main__ as ops

# Name: its options, and what runs with them.
BENCHMARKS: dict[str, tuple[type[Any], Callable[[Any], None]]] = {"ops": (ops.Options, ops.main)}


def main(args: Sequence[str] | None = None) -> int:
    """Runs one benchmark; ``args`` as in `stylerig_fast.cli.main`."""
    options: Any = tyro.extras.subcommand_cli_from_dict(
        {name: kind for name, (kind, _) in BENCHMARKS.items()},
        prog="stylerig-bench",
        description="Timings beside their parity figures.",
        args=args,
    )
    next(run for kind, run in BENCHMARKS.values() if isinstance(options, kind))(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
