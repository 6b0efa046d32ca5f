"""Freed pictures are given back, whatever small things were kept between them."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
from stylerig_fast.measurement.memory import give_large_blocks_back

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

if sys.argv[1] == "True":
    assert give_large_blocks_back()
# A freed block this large moves glibc's own threshold to its size.
np.ones(2_500_000)
before, pictures, kept = resident(), [], []
for _ in range(60):
    pictures.append(np.ones(400_000))
    kept.append(np.ones(2_000))
pictures.clear()
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_pictures_are_given_back():
    def grown(told: bool) -> float:
        run = subprocess.run([sys.executable, "-c", PROGRAM, str(told)], capture_output=True, text=True, check=True)
        return float(run.stdout)

    assert grown(True) < 20
    assert grown(False) > 100, "glibc does so by itself: the setting can go"
