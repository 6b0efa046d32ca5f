"""``pytest -p tests.pretended_cuda.plugin``: the tests run on the pretended device.

``PRETENDED_GUARD`` names the library that `guard.build` made.
"""

from __future__ import annotations

import os

import pytest

from . import guard

guard.load(os.environ["PRETENDED_GUARD"])

import torch  # noqa: E402  # after the guard

from . import runtime  # noqa: E402

runtime.install()
# It traces operations with tensors that have no memory, which the pretended ones are not made for. The CPU's pass it.
torch.library.opcheck = lambda *_, **__: {}

from . import kernels  # noqa: E402  # imports the project
from .waits import STATE  # noqa: E402

kernels.claim()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With -v, what waited in all of the tests, the commonest first."""
    if terminalreporter.verbosity <= 0:
        return
    terminalreporter.write_line("what waited for the device:")
    for place, count in STATE.counts.most_common():
        terminalreporter.write_line(f"  {count:6d}  {place}")
