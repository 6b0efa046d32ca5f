"""``make gpu-check``, or ``python3 -m benchmarks.gpu_check`` in the project's root: see ``docs/development.md``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import store
from .config import CheckConfig
from .runner import run
from .stages import STAGES


def parse(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the stages and options of ``python -m benchmarks.gpu_check``."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.gpu_check",
        description="Checks a GPU in stages; a step that fails or is over its limit does not stop the others.",
        epilog="stages: " + "; ".join(f"{name} ({s.limit:.0f} s): {s.about}" for name, s in STAGES.items()),
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="a stage, or STAGE:STEP; all by default")
    parser.add_argument("--out", type=Path, help="folder of the results (default $OUT, or out/gpu-check)")
    parser.add_argument(
        "--kit", type=Path, help="the folder that `make gpu-kit` wrote, on a machine without the project"
    )
    parser.add_argument("--store", type=Path, help="folder kept between calls (default $KIT, or /tmp/stylerig-gpu-kit)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a dry run")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for dry runs")
    parser.add_argument("--limit", action="append", default=[], metavar="STAGE=SECONDS", help="another limit")
    return parser.parse_args(args)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the stages. Returns 0 if all steps passed, 1 if one did not, 2 for a wrong command line."""
    options = parse(args)
    root, kit = Path.cwd(), options.kit
    if not (root / "stylerig_fast").is_dir():
        return _refuse(f"{root} is not a checkout of this project; start in its root")
    out = (options.out or Path(os.environ.get("OUT") or root / "out" / "gpu-check")).resolve()
    store_folder = options.store or (Path(os.environ.get("KIT") or "/tmp/stylerig-gpu-kit") if kit else out / "store")
    config = CheckConfig(root, out, store_folder.resolve(), kit and kit.resolve(), options.device, options.small)
    stages = options.stages or [name for name in STAGES if name != "store" or kit]
    try:
        limits = dict(map(_limit, options.limit))
        if kit:
            store.prepare(config)
        outcomes = run(config, stages, limits)
    except (ValueError, OSError) as error:
        return _refuse(str(error))
    bad = [f"{outcome.stage}:{outcome.step} {outcome.status}" for outcome in outcomes if outcome.status != "passed"]
    print(f"{len(outcomes) - len(bad)} of {len(outcomes)} steps passed; results are in {out}")
    for line in bad:
        print(f"  {line}")
    return 1 if bad else 0


def _limit(word: str) -> tuple[str, float]:
    stage, _, seconds = word.partition("=")
    try:
        return stage, float(seconds)
    except ValueError:
        raise ValueError(f"--limit {word}: expected STAGE=SECONDS, found {seconds!r} for the seconds") from None


def _refuse(message: str) -> int:
    print(f"gpu-check: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
