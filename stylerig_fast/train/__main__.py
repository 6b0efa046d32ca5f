"""``python -m stylerig_fast.train {sample,reconstructor,rig}``."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import tyro

from stylerig_fast.errors import StyleRigError
from stylerig_fast.measurement.memory import give_large_blocks_back
from stylerig_fast.train import reconstructor
from stylerig_fast.train import sample_portraits as sample
from stylerig_fast.train.rig import train as rig

Stage = (
    Annotated[sample.SampleConfig, tyro.conf.subcommand("sample")]
    | Annotated[reconstructor.ReconstructorTraining, tyro.conf.subcommand("reconstructor")]
    | Annotated[rig.RigTraining, tyro.conf.subcommand("rig")]
)
STAGES: dict[type, Any] = {
    sample.SampleConfig: sample.run,
    reconstructor.ReconstructorTraining: reconstructor.run,
    rig.RigTraining: rig.run,
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one stage; a mistake of the user ends as one line and exit code 2."""
    config = tyro.cli(Stage, prog="python -m stylerig_fast.train", description=__doc__, args=arguments)
    give_large_blocks_back()
    try:
        STAGES[type(config)](config)
    except (StyleRigError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on, with --resume for a network", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
