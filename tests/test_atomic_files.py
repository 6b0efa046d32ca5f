"""One file at a time; several that belong together are in test_checkpoint.py."""

from __future__ import annotations

import fcntl
import os

import pytest

from stylerig_fast import atomic_files
from tests import kill_points


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "file"
    atomic_files.write_atomically(target, b"old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        atomic_files.write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_file_survives_a_kill_at_any_moment(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    events = kill_points.run(lambda: atomic_files.write_atomically(path, b"new" * 1000))
    for event in range(events):
        path.write_bytes(b"old")
        kill_points.run(lambda: atomic_files.write_atomically(path, b"new" * 1000), kill_at=event)
        assert path.read_bytes() in (b"old", b"new" * 1000)
    atomic_files.write_atomically(path, b"last")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_who_still_writes_is_left_alone(tmp_path):
    writing = atomic_files._write_temporary(tmp_path / "file", b"half")
    with open(writing, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        atomic_files.write_atomically(tmp_path / "file", b"whole")
        assert writing.exists()
    atomic_files.write_atomically(tmp_path / "file", b"whole")
    assert not writing.exists()
