"""The names that result files are written and read by.

Of the standard library alone: `gpu_check.runner` starts where nothing else is installed.
"""

from __future__ import annotations

# What `stylerig-bench ... --json` writes, in its field "format".
FORMAT = "stylerig-bench 1"
# Stages of a cold start, in order; "laps" of a row in the section "start-up".
START_UP_STAGES = ("interpreter", "import torch", "import", "load", "build", "first frame")

# What a check of a GPU writes after every step, and the file.
GPU_CHECK_FORMAT = "stylerig-gpu-check 1"
GPU_CHECK_SUMMARY = "summary.json"
