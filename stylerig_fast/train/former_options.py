"""Names that the options of ``train rig`` and ``train reconstructor`` had before 0.1.0.

Commands that use them still run, with a notice that names the new option, and a run that was stored with them can still
be resumed. To be removed with 0.2.0.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from stylerig_fast.train.config import RigTraining

# Groups whose options have no prefix on the command line, and the same names there as before.
_PORTRAITS = {"data": "data.portraits"} | {name: f"data.{name}" for name in ("face_model", "size", "limit")}
_RUN_FIELDS = ("name", "runs", "resume", "seed", "device", "threads", "capture", "log_every", "save_every")
_RUN = {name: f"run.{name}" for name in _RUN_FIELDS}
_RENDER = ("photometric", "landmarks", "jaw")

RECONSTRUCTOR = _PORTRAITS | _RUN
RIG_RENAMED = {
    "grid": "run.preview_people",
    **{name: f"network.{name}" for name in ("form", "controls", "components", "rank")},
    "start": "closed_form.start",
    "surroundings": "closed_form.background_components",
    "directions.surroundings": "closed_form.background",
    "directions.mending": "closed_form.corrective",
    **{
        f"directions.{name}": f"closed_form.{name}"
        for name in ("measures", "landmarks", "light", "length", "colours", "identity")
    },
    "people": "person.people",
    **{
        name: f"cycle.{name}"
        for name in ("steps", "pairs", "siamese", "requests", "compare", "optimiser", "lr", "weight_decay")
    },
    **{
        f"weights.{name}": f"cycle.weights.{name}"
        for name in ("reconstruction", "edit", "consistency", "surface", "shading")
    },
    "weights.price": "cycle.weights.side_effects",
    **{f"render.{name}": f"cycle.render.{name}" for name in _RENDER},
    "pictures": "images.people",
    "calibrate": "gains.people",
}
RIG = _PORTRAITS | _RUN | {name: f"data.{name}" for name in ("reconstructor", "generator")} | RIG_RENAMED
RIG["dtype"] = "run.dtype"


def rewrite_flags(arguments: list[str]) -> list[str]:
    """A command line of ``train`` with the present names of the rig's options; notices about former ones on stderr.

    Args:
        arguments: of the command, beginning with the stage.
    """
    if arguments[:1] != ["rig"]:
        return arguments
    return [arguments[0], *(_rewritten(word) for word in arguments[1:])]


def _rewritten(word: str) -> str:
    flag, equals, value = word.partition("=")
    former = flag.removeprefix("--").replace("-", "_")
    negated = former.startswith("no_") and former not in RIG_RENAMED
    new = RIG_RENAMED.get(former.removeprefix("no_") if negated else former)
    if not flag.startswith("--") or new is None:
        return word
    # "preview_people" is in a group without a prefix.
    group, _, last = new.removeprefix("run.").rpartition(".")
    name = f"{group}." * bool(group) + ("no_" if negated else "") + last
    name = "--" + name.replace("_", "-")
    print(f"note: {flag} is now called {name}; the former name goes with version 0.2.0", file=sys.stderr)
    return name + equals + value


def rename_stored(stored: Mapping[str, Any], config: object) -> dict[str, Any]:
    """A run's stored options, flat, under their present names.

    Args:
        stored: flat options ``{"group.option": value}`` of a run's ``config.json``, under present or former names.
        config: of the stage.
    """
    if "run.name" in stored:
        return dict(stored)
    names = RIG if isinstance(config, RigTraining) else RECONSTRUCTOR
    return {names.get(name, name): value for name, value in stored.items()}
