"""The ``stylerig`` command: subcommands over the Engine, one clear line for each expected error."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import tyro

from stylerig_fast.commands.convert import ConvertCommand
from stylerig_fast.commands.demo import DemoCommand
from stylerig_fast.commands.doctor import DoctorCommand
from stylerig_fast.commands.edit import EditCommand, GenerateCommand, MixCommand, SampleCommand, TransferCommand
from stylerig_fast.commands.evaluate import EvaluateCommand
from stylerig_fast.commands.export import ExportCommand
from stylerig_fast.commands.studio import StudioCommand
from stylerig_fast.errors import StyleRigError


class Subcommand(Protocol):
    """A subcommand with its options filled in."""

    def run(self) -> None: ...


COMMANDS: dict[str, Callable[..., Subcommand]] = {
    "demo": DemoCommand,
    "sample": SampleCommand,
    "edit": EditCommand,
    "transfer": TransferCommand,
    "mix": MixCommand,
    "generate": GenerateCommand,
    "evaluate": EvaluateCommand,
    "convert": ConvertCommand,
    "export": ExportCommand,
    "studio": StudioCommand,
    "doctor": DoctorCommand,
}

# Mistakes of the caller or of the machine, with a message that says what to do; anything else is our bug and keeps its
# traceback.
EXPECTED = (StyleRigError, ValueError, OSError)


def main(args: Sequence[str] | None = None) -> int:
    """Runs one subcommand.

    Args:
        args: the arguments after the program's name; those of the process if None.

    Returns:
        The exit status: 0, 2 after an expected error (its message is on standard error), 130 when interrupted.
        STYLERIG_TRACEBACK=1 in the environment lets errors through with their traceback.
    """
    command: Subcommand = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="stylerig",
        description="Turn, relight and animate portraits of a pretrained StyleGAN.",
        args=args,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    formatwarning, warnings.formatwarning = warnings.formatwarning, _one_line
    try:
        command.run()
    except EXPECTED as error:
        if os.environ.get("STYLERIG_TRACEBACK"):
            raise
        print(f"stylerig: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        warnings.formatwarning = formatwarning
    return 0


def _one_line(message: Warning | str, category: type[Warning], *_: object, **__: object) -> str:
    return f"stylerig: warning: {message}\n"


if __name__ == "__main__":
    sys.exit(main())
