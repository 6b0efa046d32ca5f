"""Runs stages: every step is a process with a limit, and none of them can stop the others."""

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

from .config import Setting
from .stages import STAGES, Step

FORMAT = "stylerig-gpu-check 1"
SUMMARY = "summary.json"
# Seconds between asking a process to end and ending it.
GRACE = 5.0
# Lines of a step's log that are shown when it has ended.
TAIL = 14


@dataclass(frozen=True)
class Outcome:
    """What became of a step.

    Attributes:
        stage: its stage.
        step: its name.
        status: "passed", "failed", "over its limit", or "not started" where its stage had no time left.
        exit_status: of its process; negative for a signal, None if it was not started.
        seconds: that it ran.
        limit: that it was given.
    """

    stage: str
    step: str
    status: str
    exit_status: int | None
    seconds: float
    limit: float


def run(setting: Setting, requests: Sequence[str], limits: Mapping[str, float] | None = None) -> list[Outcome]:
    """Runs the steps of the stages one after the other; ``summary.json`` is written after every one.

    Args:
        setting: where.
        requests: stages ("bench") or single steps of them ("bench:edit-mobile"), in this order.
        limits: seconds by stage, in place of its own.

    Raises:
        ValueError: no such stage or step.
    """
    limits = dict(limits or {})
    chosen = [(stage, steps_of(setting, stage, step)) for stage, _, step in (r.partition(":") for r in requests)]
    if unknown := limits.keys() - STAGES.keys():
        raise ValueError(f"a limit for {', '.join(sorted(unknown))}: there are the stages {', '.join(STAGES)}")
    (setting.out / "logs").mkdir(parents=True, exist_ok=True)
    setting.store.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for stage, steps in chosen:
        left = limits.get(stage, STAGES[stage].limit)
        for step in steps:
            outcome = _run_step(setting, stage, step, min(step.limit or left, left))
            left -= outcome.seconds
            outcomes.append(outcome)
            _write_summary(setting, outcomes)
    return outcomes


def steps_of(setting: Setting, stage: str, name: str = "") -> list[Step]:
    """The steps of a stage, or the one of that name.

    Raises:
        ValueError: there is no such stage or step.
    """
    if stage not in STAGES:
        raise ValueError(f"no stage {stage!r}: there are {', '.join(STAGES)}")
    steps = STAGES[stage].steps(setting)
    found = [step for step in steps if step.name == name] if name else [step for step in steps if not step.on_request]
    if stage == "store" and setting.kit is None:
        raise ValueError("the stage store is for a kit: name its folder with --kit")
    if not found:
        raise ValueError(f"no step {name!r} in {stage}: there are {', '.join(step.name for step in steps)}")
    return found


def _run_step(setting: Setting, stage: str, step: Step, limit: float) -> Outcome:
    title = f"{stage}: {step.name}"
    if limit <= 0:
        print(f"=== {title}: its stage has no time left", flush=True)
        return Outcome(stage, step.name, "not started", None, 0.0, 0.0)
    print(f"=== {title} (at most {limit:.0f} s)", flush=True)
    log = setting.out / "logs" / f"{stage}-{step.name}.log"
    start = time.monotonic()
    code, over = run_limited(
        step.command, limit, log, cwd=setting.tree, environment=setting.environment() | dict(step.environment)
    )
    seconds = round(time.monotonic() - start, 1)
    status = "over its limit" if over else "failed" if code else "passed"
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]:
        print(f"    {line}")
    print(f"=== {title}: {status}, exit status {code}, {seconds} s", flush=True)
    return Outcome(stage, step.name, status, code, seconds, round(limit, 1))


def run_limited(
    command: Sequence[str], limit: float, log: Path, cwd: Path, environment: Mapping[str, str], grace: float = GRACE
) -> tuple[int, bool]:
    """Runs a command in a process group of its own, and ends what is left of the group when it is over.

    Args:
        command: words.
        limit: seconds.
        log: what it prints.
        cwd: where it starts.
        environment: all of it.
        grace: seconds between SIGTERM and SIGKILL.

    Returns:
        Exit status (127 where there is no such program), and whether it was over its limit.
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
            output.write(f"\nended: it was over its limit of {limit:.0f} s\n".encode())
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        finally:
            # Also what the command left behind: it would take time of the device from the next one.
            _signal(process, signal.SIGKILL)
            process.wait()
    return process.returncode, over


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # The group has the leader's number for as long as anybody is in it; without anybody there is nobody to tell.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _write_summary(setting: Setting, outcomes: Sequence[Outcome]) -> None:
    found = {
        "format": FORMAT,
        "device": setting.device,
        "small": setting.small,
        "steps": [asdict(outcome) for outcome in outcomes],
    }
    path = setting.out / SUMMARY
    new = path.with_suffix(".tmp")
    new.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    new.replace(path)
