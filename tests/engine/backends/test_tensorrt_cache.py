"""What the plan cache hands back, and what it never does."""

from __future__ import annotations

import os
import stat

import pytest

from stylerig_fast.engine.backends.tensorrt_cache import MAGIC, PlanCache
from stylerig_fast.errors import BackendUnavailable

LABEL = {"onnx": "ab" * 32, "tensorrt": "10.13.0", "gpu": "H200", "capability": "9.0", "driver": "580", "profile": "1"}

posix = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path / "plans")


class Built:
    """A build that counts."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return b"plan %d" % self.times


def test_built_once_and_kept(cache):
    build = Built()
    assert [cache.get(LABEL, build) for _ in range(3)] == [b"plan 1"] * 3
    assert PlanCache(cache.folder).get(LABEL, build) == b"plan 1"
    assert build.times == 1


@pytest.mark.parametrize("key", LABEL)
def test_whatever_differs_is_another_plan(cache, key):
    build = Built()
    cache.get(LABEL, build)
    assert cache.get(LABEL | {key: LABEL[key] + "1"}, build) == b"plan 2"


@pytest.mark.parametrize("place", ["magic", "seal", "content", "last"])
def test_a_changed_byte(cache, place, caplog):
    build = Built()
    cache.get(LABEL, build)
    path = cache.path(LABEL)
    content = bytearray(path.read_bytes())
    content[{"magic": 0, "seal": len(MAGIC), "content": len(MAGIC) + 32, "last": -1}[place]] ^= 1
    path.write_bytes(content)
    assert cache.get(LABEL, build) == b"plan 2"
    assert "the seal is not ours, so it is not loaded; building it again" in caplog.text
    assert cache.get(LABEL, build) == b"plan 2"


@pytest.mark.parametrize("length", [0, 5, len(MAGIC), len(MAGIC) + 32, len(MAGIC) + 34])
def test_a_truncated_file(cache, length):
    build = Built()
    cache.get(LABEL, build)
    path = cache.path(LABEL)
    path.write_bytes(path.read_bytes()[:length])
    assert cache.get(LABEL, build) == b"plan 2"


def test_a_plan_under_another_plans_name(cache):
    """The seal is over what a plan was built for, not only over its bytes."""
    build, other = Built(), LABEL | {"gpu": "H100"}
    cache.get(LABEL, build)
    cache.path(other).write_bytes(cache.path(LABEL).read_bytes())
    assert cache.get(other, build) == b"plan 2"


def test_a_plan_of_somebody_elses_key(cache, tmp_path):
    foreign = PlanCache(tmp_path / "other")
    foreign.write(LABEL, b"evil")
    cache.path(LABEL).write_bytes(foreign.path(LABEL).read_bytes())
    assert cache.read(LABEL) is None


def test_a_link_is_not_followed(cache, tmp_path):
    cache.write(LABEL, b"plan")
    moved = tmp_path / "plan"
    cache.path(LABEL).rename(moved)
    cache.path(LABEL).symlink_to(moved)
    assert cache.read(LABEL) is None
    cache.path(LABEL).unlink()
    cache.path(LABEL).symlink_to(tmp_path / "nowhere")
    assert cache.read(LABEL) is None


@posix
def test_only_the_owner_has_access(cache):
    cache.write(LABEL, b"plan")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (cache.folder, *cache.folder.iterdir())}
    assert modes == {cache.folder.name: 0o700, "key": 0o600, cache.path(LABEL).name: 0o600}


@posix
@pytest.mark.parametrize("name", [".", "key"])
def test_a_folder_or_key_that_others_can_reach_is_refused(cache, name):
    (cache.folder / name).chmod(0o755 if name == "." else 0o644)
    with pytest.raises(BackendUnavailable, match="plans are programs, and only user"):
        PlanCache(cache.folder)


@posix
def test_somebody_elses_folder_is_refused(cache, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(BackendUnavailable, match=f"owner {os.getuid()}, mode 700"):
        PlanCache(cache.folder)


@posix
def test_links_in_place_of_folder_or_key_are_refused(cache, tmp_path):
    (tmp_path / "link").symlink_to(cache.folder)
    with pytest.raises(BackendUnavailable, match="neither a file nor a folder of ours"):
        PlanCache(tmp_path / "link")
    (cache.folder / "key").rename(tmp_path / "key")
    (cache.folder / "key").symlink_to(tmp_path / "key")
    with pytest.raises(BackendUnavailable, match="neither a file nor a folder of ours"):
        PlanCache(cache.folder)


def test_a_key_of_another_length(cache):
    (cache.folder / "key").write_bytes(b"short")
    with pytest.raises(BackendUnavailable, match="5 bytes, expected 32; delete it"):
        PlanCache(cache.folder)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "plans").write_text("")
    with pytest.raises(BackendUnavailable, match="no place for TensorRT's plans"):
        PlanCache(tmp_path / "plans")


def test_a_full_disk_only_costs_the_next_start(cache, monkeypatch, caplog):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stylerig_fast.engine.backends.tensorrt_cache.write_atomically", full)
    assert cache.get(LABEL, Built()) == b"plan 1"
    assert "cannot be kept" in caplog.text
    assert cache.read(LABEL) is None
