"""The runner of a check: steps that fail, hang, leave children behind, and the summary after each."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu_check import __main__ as command
from benchmarks.gpu_check import runner
from benchmarks.gpu_check.config import PACKAGE, CheckConfig
from benchmarks.gpu_check.stages import STAGES, CheckStage, CheckStep
from benchmarks.report.format import GPU_CHECK_FORMAT

ROOT = Path(__file__).resolve().parents[3]
# Starts a child that outlives its parent, and says which.
CHILD = "import subprocess, sys; print(subprocess.Popen(['sleep', '300']).pid, flush=True); "


@pytest.fixture
def config(tmp_path):
    return CheckConfig(ROOT, tmp_path / "out", tmp_path / "store", device="cpu", small=True)


@pytest.fixture
def steps(monkeypatch):
    """Puts a stage of Python programs in the place of the real ones."""

    def put(limit=60.0, **programs):
        found = [CheckStep(name, [sys.executable, "-c", text]) for name, text in programs.items()]
        monkeypatch.setattr(runner, "STAGES", {"work": CheckStage(limit, lambda config: found, "")})
        return found

    return put


def log(config, step):
    return (config.out / "logs" / f"work-{step}.log").read_text()


def ended(pid, tries=200):
    """Whether a process that was killed is gone; the system takes its time."""
    while tries and alive(pid):
        time.sleep(0.05)
        tries -= 1
    return tries > 0


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "State:\tZ" not in state


def test_a_failing_step_does_not_stop_the_rest(config, steps):
    stage = steps(first="print('here'); raise SystemExit(3)", missing="", second="print('there')")
    stage[1] = CheckStep("missing", ["./no-such-program"])
    found = runner.run(config, ["work"])
    assert [(o.step, o.status, o.exit_status) for o in found] == [
        ("first", "failed", 3), ("missing", "failed", 127), ("second", "passed", 0),
    ]  # fmt: skip
    assert log(config, "first") == "here\n" and log(config, "second") == "there\n"
    assert "no-such-program" in log(config, "missing")


def test_what_is_over_its_limit_ends_with_its_children(config, steps):
    steps(hangs=CHILD + "import time; time.sleep(300)", after="print('still')")
    found = runner.run(config, ["work:hangs", "work:after"], {"work": 3.0})
    # The second request has the whole limit of the stage again.
    assert found[0].status == "over its limit" and found[1].step == "after"
    pid, *rest = log(config, "hangs").split()
    assert ended(int(pid))
    assert "over its limit of 3 s" in " ".join(rest)


def test_what_ignores_the_request_to_end_is_killed(tmp_path):
    text = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(300)"
    )
    code, over = runner.run_limited([sys.executable, "-c", text], 2.0, tmp_path / "log", tmp_path, {}, grace=0.1)
    assert over and code < 0


def test_children_of_a_step_that_is_done_are_ended(config, steps):
    steps(leaves=CHILD)
    (found,) = runner.run(config, ["work"])
    assert found.status == "passed"
    assert ended(int(log(config, "leaves")))


def test_the_summary_is_written_after_every_step(config, steps):
    path = config.out / "summary.json"
    steps(fails="raise SystemExit(1)", reads=f"print(open({str(path)!r}).read())")
    runner.run(config, ["work"])
    then, now = json.loads(log(config, "reads")), json.loads(path.read_text())
    assert [step["step"] for step in then["steps"]] == ["fails"]
    assert [(step["step"], step["status"]) for step in now["steps"]] == [("fails", "failed"), ("reads", "passed")]
    assert now["format"] == GPU_CHECK_FORMAT and now["device"] == "cpu" and now["small"] is True


def test_a_stage_without_time_left_is_said_to_be(config, steps):
    steps(limit=0.0, late="print('never')")
    (found,) = runner.run(config, ["work"])
    assert (found.status, found.exit_status) == ("not started", None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "no stage 'nothing': there are store, probe"),
        (["bench:nothing"], "there are edit-mobile"),
        (["store:1"], "--kit"),
        (["probe", "--limit", "nothing=3"], "a limit for nothing"),
        (["probe", "--limit", "probe=soon"], "soon"),
        (["probe", "--limit", "probe"], "--limit probe: expected STAGE=SECONDS"),
        (["probe", "--kit", "nowhere"], "make gpu-kit"),
    ],
)
def test_mistakes_are_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert command.main([*words, "--out", str(tmp_path / "out"), "--store", str(tmp_path / "store")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("gpu-check: error: ") and message in err and err.count("\n") == 1


def test_it_starts_in_a_checkout_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(["probe"]) == 2
    assert "start in its root" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("stage", [name for name in STAGES if name != "store"])
def test_every_benchmark_of_a_stage_is_one_that_parses(stage, small, device, tmp_path, monkeypatch):
    from benchmarks.__main__ import COMMANDS, main

    for kind in COMMANDS.values():
        monkeypatch.setattr(kind, "run", lambda self: None)
    config = CheckConfig(ROOT, tmp_path, tmp_path / "store", device=device, small=small)
    steps = runner.steps_of(config, stage)
    assert steps and len({step.name for step in steps}) == len(steps)
    for step in steps:
        words = list(step.command)
        if PACKAGE in words:
            assert main(words[words.index(PACKAGE) + 1 :]) == 0


def test_sanitizers_watch_the_gpu_only(tmp_path):
    config = CheckConfig(ROOT, tmp_path, tmp_path / "store")
    names = [step.name for step in runner.steps_of(config, "sanitize")]
    assert names == ["memcheck", "racecheck"]
    (step,) = runner.steps_of(config, "sanitize", "synccheck")
    assert step.command[:3] == ["compute-sanitizer", "--tool", "synccheck"]
    assert step.environment == {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}


def test_the_tests_of_a_gpu_are_found_by_their_marker(tmp_path):
    (step,) = runner.steps_of(CheckConfig(ROOT, tmp_path, tmp_path / "store"), "test")
    files = [word for word in step.command if word.startswith("tests/")]
    assert "tests/ops/test_cuda_device.py" in files and "tests/engine/backends/test_cuda_graph.py" in files
    skip = "pytest.mark.skipif(not torch.cuda.is_available()"
    for path in set((ROOT / "tests").rglob("test_*.py")) - {Path(__file__)}:
        text = path.read_text(encoding="utf-8")
        skipped = text.count(f"    {skip}") + text.count(f"@{skip}") + text.count("@needs_cuda")
        assert text.count("pytest.mark.gpu") >= skipped, f"{path}: tests that need a GPU bear pytest.mark.gpu"
        assert not skipped or path.relative_to(ROOT).as_posix() in files
