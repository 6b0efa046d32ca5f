"""Runs stages: every step is a process with a time limit, and none can stop the others."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..report.format import GPU_CHECK_FORMAT, GPU_CHECK_SUMMARY
from .config import CheckConfig
from .stages import STAGES, CheckStep

# Seconds between SIGTERM and SIGKILL.
GRACE = 5.0
# Lines of a step's log that are shown when it has ended.
TAIL = 14


@dataclass(frozen=True)
class StepOutcome:
    """The outcome of a step.

    Attributes:
        stage: of the step.
        step: its name.
        status: "passed", "failed", "over its limit", or "not started" if its stage had no time left.
        exit_status: of its process; negative for a signal, None if it was not started.
        seconds: that it took.
        limit: in seconds.
    """

    stage: str
    step: str
    status: str
    exit_status: int | None
    seconds: float
    limit: float


def run(config: CheckConfig, names: Sequence[str], limits: Mapping[str, float] | None = None) -> list[StepOutcome]:
    """Runs the steps of the stages one after the other, and writes ``summary.json`` after each.

    Args:
        config: of the check.
        names: stages ("bench") or single steps of them ("bench:edit-mobile"), in this order.
        limits: seconds by stage, in place of its own.

    Raises:
        ValueError: no such stage or step.
    """
    limits = dict(limits or {})
    chosen = [(stage, steps_of(config, stage, step)) for stage, _, step in (name.partition(":") for name in names)]
    if unknown := limits.keys() - STAGES.keys():
        raise ValueError(f"a limit for {', '.join(sorted(unknown))}: there are the stages {', '.join(STAGES)}")
    (config.out / "logs").mkdir(parents=True, exist_ok=True)
    config.store.mkdir(parents=True, exist_ok=True)
    outcomes: list[StepOutcome] = []
    for stage, steps in chosen:
        left = limits.get(stage, STAGES[stage].limit)
        for step in steps:
            outcome = _run_step(config, stage, step, min(step.limit or left, left))
            left -= outcome.seconds
            outcomes.append(outcome)
            _write_summary(config, outcomes)
    return outcomes


def steps_of(config: CheckConfig, stage: str, name: str = "") -> list[CheckStep]:
    """The steps of a stage, or the one called ``name``.

    Raises:
        ValueError: there is no such stage or step.
    """
    if stage not in STAGES:
        raise ValueError(f"no stage {stage!r}: there are {', '.join(STAGES)}")
    steps = STAGES[stage].steps(config)
    chosen = [step for step in steps if step.name == name] if name else [step for step in steps if not step.on_request]
    if stage == "store" and config.kit is None:
        raise ValueError("the stage store is for a kit: name its folder with --kit")
    if not chosen:
        raise ValueError(f"no step {name!r} in {stage}: there are {', '.join(step.name for step in steps)}")
    return chosen


def _run_step(config: CheckConfig, stage: str, step: CheckStep, limit: float) -> StepOutcome:
    title = f"{stage}: {step.name}"
    if limit <= 0:
        print(f"=== {title}: its stage has no time left", flush=True)
        return StepOutcome(stage, step.name, "not started", None, 0.0, 0.0)
    print(f"=== {title} (at most {limit:.0f} s)", flush=True)
    log = config.out / "logs" / f"{stage}-{step.name}.log"
    start = time.monotonic()
    code, over = run_limited(
        step.command, limit, log, cwd=config.tree, environment=config.environment() | dict(step.environment)
    )
    seconds = round(time.monotonic() - start, 1)
    status = "over its limit" if over else "failed" if code else "passed"
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]:
        print(f"    {line}")
    print(f"=== {title}: {status}, exit status {code}, {seconds} s", flush=True)
    return StepOutcome(stage, step.name, status, code, seconds, round(limit, 1))


def run_limited(
    command: Sequence[str], limit: float, log: Path, cwd: Path, environment: Mapping[str, str], grace: float = GRACE
) -> tuple[int, bool]:
    """Runs a command in its own process group, and kills what is left of the group afterwards.

    Args:
        command: program and arguments.
        limit: seconds.
        log: file for its output.
        cwd: working directory.
        environment: all of it.
        grace: seconds between SIGTERM and SIGKILL.

    Returns:
        Exit status (127 if there is no such program), and whether it was over its limit.
    """
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            output.write(f"{command[0]} cannot be started: {error}\n".encode())
            return 127, False
        over = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            over = True
            output.write(f"\nstopped: it was over its limit of {limit:.0f} s\n".encode())
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        finally:
            # Also the command's own children, which would disturb the next step.
            _signal(process, signal.SIGKILL)
            process.wait()
    return process.returncode, over


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # The group keeps the leader's number as long as a process is in it; an empty group needs no signal.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _write_summary(config: CheckConfig, outcomes: Sequence[StepOutcome]) -> None:
    summary = {
        "format": GPU_CHECK_FORMAT,
        "device": config.device,
        "small": config.small,
        "steps": [asdict(outcome) for outcome in outcomes],
    }
    path = config.out / GPU_CHECK_SUMMARY
    new = path.with_suffix(".tmp")
    new.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    new.replace(path)
