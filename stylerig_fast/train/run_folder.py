"""The folder of a training run: its config, TensorBoard events, metrics, and a state to resume from."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from types import TracebackType

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from stylerig_fast import strict_json
from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.checkpoint import read_checkpoint, save_checkpoint
from stylerig_fast.errors import CheckpointError, TrainingDiverged
from stylerig_fast.rignet import RENAMED
from stylerig_fast.train.config import ReconstructorTraining, RigTraining
from stylerig_fast.train.former_options import rename_stored

# A rig's tensors have other names in states that were stored in format 1.
FORMER_TENSORS = {f"module.{former}": f"module.{name}" for former, name in RENAMED.items()}


class RunFolder:
    """``runs/<name>``: ``config.json``, ``events.*``, ``metrics.json`` and ``state/`` (safetensors, never pickle)."""

    def __init__(self, config: ReconstructorTraining | RigTraining) -> None:
        """Opens the folder that ``config.run`` names.

        Raises:
            CheckpointError: it holds a run already and ``config.run.resume`` is False, or one with another config.
        """
        run = config.run
        self.folder = run.runs / run.name
        path = self.folder / "config.json"
        if path.exists():
            if not run.resume:
                raise CheckpointError(f"{self.folder}: holds a run already; pass --resume to go on, or another --name")
            try:
                stored = strict_json.loads(path.read_bytes())
                if not isinstance(stored, dict):
                    raise ValueError("not an object")
            except ValueError as error:
                raise CheckpointError(f"{path}: not the config of a run ({error}); use another --name") from error
            self._check_unchanged(config, stored)
        else:
            write_atomically(path, (json.dumps(_plain(config), indent=2) + "\n").encode())
        self.writer = SummaryWriter(str(self.folder))

    def _check_unchanged(self, config: ReconstructorTraining | RigTraining, stored: Mapping[str, object]) -> None:
        before, now = rename_stored(_flat(stored), config), _flat(_plain(config))
        # An option that is newer than the run had its default then.
        before = _flat(_defaults(config)) | before
        changed = sorted(name for name in now if name != "run.resume" and before.get(name) != now[name])
        if changed:
            raise CheckpointError(
                f"{self.folder}: the run to resume had another {', '.join(changed)}; use another --name"
            )

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars to TensorBoard.

        Raises:
            TrainingDiverged: one of them is NaN or infinite; it is written all the same.
        """
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        wrong = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if wrong:
            raise self._diverged(step, ", ".join(wrong))

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """Writes a picture to TensorBoard; ``image``: uint8 ``(H, W, 3)``."""
        self.writer.add_image(name, image, step, dataformats="HWC")

    def write_metrics(self, metrics: Mapping[str, object]) -> None:
        """Writes ``metrics.json``."""
        write_atomically(self.folder / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())

    def save_state(self, step: int, module: nn.Module, optimiser: torch.optim.Optimizer, draw: torch.Generator) -> None:
        """Stores all that `load_state` restores.

        Args:
            step: steps done so far.
            module: the network in training.
            optimiser: of its parameters.
            draw: the random generator of the steps.

        Raises:
            TrainingDiverged: the network holds NaN or infinity; the state before is kept.
        """
        for name, value in module.state_dict().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise self._diverged(step, f"{name} holds NaN or infinity")
        state = {f"module.{name}": value for name, value in module.state_dict().items()}
        for index, values in optimiser.state_dict()["state"].items():
            state |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
        state["draw"] = draw.get_state()
        save_checkpoint(self.folder / "state", "training state", {"step": step}, state)

    def _diverged(self, step: int, what: str) -> TrainingDiverged:
        kept = f"the state of an earlier step is kept in {self.folder / 'state'}"
        if not (self.folder / "state" / "config.json").exists():
            kept = "no state was kept"
        return TrainingDiverged(
            f"{self.folder}: the training diverged: after step {step} {what}; {kept}. Train again under another --name "
            "with a smaller learning rate"
        )

    def load_state(self, module: nn.Module, optimiser: torch.optim.Optimizer, draw: torch.Generator) -> int:
        """Restores what `save_state` stored; returns the step to go on from, 0 if there is no state yet.

        Raises:
            CheckpointError: the state is damaged, or of another network.
        """
        folder = self.folder / "state"
        if not (folder / "config.json").exists():
            return 0
        config, state = read_checkpoint(folder, "training state", FORMER_TENSORS)
        try:
            module.load_state_dict({k[7:]: v for k, v in state.items() if k.startswith("module.")})
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in state.items():
                if key.startswith("optimiser."):
                    _, index, name = key.split(".", 2)
                    moments.setdefault(int(index), {})[name] = value
            whole = optimiser.state_dict()
            optimiser.load_state_dict({"state": moments, "param_groups": whole["param_groups"]})
            draw.set_state(state["draw"])
            return int(config["step"])  # type: ignore[call-overload]
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"{folder}: not a state of this training ({error}); train without --resume, under another --name"
            ) from error


def _plain(config: ReconstructorTraining | RigTraining) -> dict[str, object]:
    """The config as plain JSON values, nested."""
    values: dict[str, object] = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return values


def _defaults(config: ReconstructorTraining | RigTraining) -> dict[str, object]:
    """The config that has nothing but its defaults and the required options, as plain values."""
    kind = type(config)
    data = type(config.data)(
        **{
            option.name: getattr(config.data, option.name)
            for option in dataclasses.fields(config.data)
            if option.default is dataclasses.MISSING
        }
    )
    return _plain(kind(data=data))  # type: ignore[arg-type]


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """``{"group.option": value}`` of nested options."""
    result: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result
