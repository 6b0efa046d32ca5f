"""Train from a generator alone: sample its portraits, train the reconstructor F, train the rig."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import tyro

from stylerig_fast.errors import BackendUnavailable, StyleRigError
from stylerig_fast.measurement.dlib_weights import SHAPE_PREDICTOR, import_dlib, weights_path
from stylerig_fast.measurement.memory import give_large_blocks_back
from stylerig_fast.train.config import ReconstructorTraining, RigTraining, SampleConfig, with_preset
from stylerig_fast.train.former_options import rewrite_flags

Stage = (
    Annotated[SampleConfig, tyro.conf.subcommand("sample")]
    | Annotated[ReconstructorTraining, tyro.conf.subcommand("reconstructor")]
    | Annotated[RigTraining, tyro.conf.subcommand("rig")]
)


def main(arguments: list[str] | None = None) -> int:
    """Runs one stage; a mistake of the user ends as one line and exit code 2."""
    words = rewrite_flags(sys.argv[1:] if arguments is None else arguments)
    config = tyro.cli(Stage, prog="python -m stylerig_fast.train", description=__doc__, args=words)
    try:
        check_packages(config)
        _run(config)
    except (StyleRigError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on, with --resume for a network", file=sys.stderr)
        return 130
    return 0


def check_packages(config: Stage) -> None:
    """Checks that the optional packages a stage needs can be imported, before anything slow is done.

    Raises:
        BackendUnavailable: with the command that installs what is missing.
    """
    for package in ("pyarrow", "rich", "tensorboard"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise BackendUnavailable(
                f"training needs {error.name or package}: pip install 'stylerig-fast[train]' (see docs/install.md)"
            ) from error
    if measures_pictures(config):
        import_dlib()
        weights_path(SHAPE_PREDICTOR)


def measures_pictures(config: Stage) -> bool:
    """Whether the stage detects landmarks in pictures, for which it needs dlib."""
    if isinstance(config, RigTraining):
        config = with_preset(config)
        return bool(config.images.people or config.gains.people)
    return isinstance(config, SampleConfig)


def _run(config: Stage) -> None:
    # Late: these import the optional packages.
    from stylerig_fast.train import reconstructor, sample_portraits
    from stylerig_fast.train.rig import train

    give_large_blocks_back()
    if isinstance(config, SampleConfig):
        sample_portraits.run(config)
    elif isinstance(config, ReconstructorTraining):
        reconstructor.run(config)
    else:
        train.run(config)


if __name__ == "__main__":
    sys.exit(main())
