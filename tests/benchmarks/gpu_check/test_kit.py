"""The kit: parts under a limit, put together again on the other side; a check from a kit, dry, on the CPU."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.gpu_check import pack, store
from benchmarks.gpu_check.config import CheckConfig
from benchmarks.gpu_check.stages import STAGES
from stylerig_fast.ops import _library
from tests.ops.meshes import needs_kernels

ROOT = Path(__file__).resolve().parents[3]


def archive(folder, name, size):
    """A packed folder with files that do not compress."""
    files = folder / name
    (files / "inside").mkdir(parents=True)
    (files / "inside" / "weights").write_bytes(random.Random(name).randbytes(size))
    (files / "words").write_text(name)
    return name, pack.compress(files)


@pytest.fixture
def archives(tmp_path):
    return [archive(tmp_path / "made", "generator", 3000), archive(tmp_path / "made", "tensorrt", 5000)]


@pytest.fixture
def kit(tmp_path, archives, monkeypatch):
    """Two archives in parts of 2500 bytes."""
    monkeypatch.setattr(pack, "SMALLEST", 100)
    folder = tmp_path / "kit"
    (folder / "common").mkdir(parents=True)
    pack.cut(archives, 2500, folder).write(folder / "common")
    return folder


def unpacked(tmp_path, name):
    return (tmp_path / "store" / "unpacked" / name / "inside" / "weights").read_bytes()


def test_parts_are_under_the_limit_and_hold_everything(kit, archives):
    manifest = store.KitManifest.read(kit / "common")
    contents = [store.part_file(kit, part.name).read_bytes() for part in manifest.parts]
    assert [len(content) for content in contents[:-1]] == [2500] * (len(contents) - 1)
    assert 0 < len(contents[-1]) <= 2500 and len(contents) == 4
    assert b"".join(contents) == b"".join(content for _, content in archives)


def test_archives_are_unpacked_as_soon_as_they_are_complete(kit, tmp_path):
    said = {part: store.keep(part, kit, tmp_path / "store") for part in ("1", "2", "4", "3")}
    target = tmp_path / "store" / "unpacked"
    assert said["1"] == ["generator: waits for part 2", "tensorrt: waits for part 2, 3, 4"]
    assert said["2"] == [f"generator: unpacked to {target / 'generator'}", "tensorrt: waits for part 3, 4"]
    assert said["4"] == ["generator: unpacked before", "tensorrt: waits for part 3"]
    assert said["3"] == ["generator: unpacked before", f"tensorrt: unpacked to {target / 'tensorrt'}"]
    assert unpacked(tmp_path, "generator") == random.Random("generator").randbytes(3000)
    assert unpacked(tmp_path, "tensorrt") == random.Random("tensorrt").randbytes(5000)


def test_a_part_that_is_not_there_says_so(kit, tmp_path, capsys):
    store.part_file(kit, "2").unlink()
    with pytest.raises(ValueError, match="part 2 is missing: .*copy the folder part2"):
        store.keep("2", kit, tmp_path / "store")
    with pytest.raises(ValueError, match="no part 9, but 1, 2, 3, 4"):
        store.keep("9", kit, tmp_path / "store")
    assert store.main(["2", "--kit", str(kit), "--store", str(tmp_path / "store")]) == 2
    assert "part 2 is missing" in capsys.readouterr().err


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: b"x" + content[1:]])
def test_a_damaged_part_is_refused(kit, tmp_path, change):
    path = store.part_file(kit, "1")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=r"payload.1: 2\d+ bytes that are not the 2500 which were packed"):
        store.keep("1", kit, tmp_path / "store")
    assert not (tmp_path / "store" / "parts").exists()


def test_an_archive_of_other_bytes_is_refused(kit, tmp_path):
    path = kit / "common" / store.MANIFEST
    found = json.loads(path.read_text())
    found["archives"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(found))
    store.keep("1", kit, tmp_path / "store")
    with pytest.raises(ValueError, match="the archive generator"):
        store.keep("2", kit, tmp_path / "store")


def test_parts_of_an_earlier_kit_are_not_mixed_in(kit, archives, tmp_path):
    store.keep("1", kit, tmp_path / "store")
    pack.cut(archives[::-1], 2500, tmp_path / "other").write(kit / "common")
    for part in ("2", "3", "4"):
        path = store.part_file(kit, part)
        path.write_bytes(store.part_file(tmp_path / "other", part).read_bytes())
        assert "waits for part" in "".join(store.keep(part, kit, tmp_path / "store"))


def test_no_room_is_said(archives, tmp_path):
    with pytest.raises(ValueError, match="bytes are left for a part"):
        pack.cut(archives, pack.SMALLEST - 1, tmp_path)
    assert pack.cut([], 0, tmp_path) == store.KitManifest()


@pytest.mark.parametrize("content", ["", "{}", '{"format": "stylerig-gpu-kit 0"}'])
def test_what_is_no_kit_is_refused(tmp_path, content):
    (tmp_path / store.MANIFEST).write_text(content)
    with pytest.raises(ValueError, match="make gpu-kit"):
        store.KitManifest.read(tmp_path)


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """What `pack` writes with the installed operations, and archives and wheels that need no package index."""
    made = []

    def fill(folder):
        made.append(folder)
        (folder / "weights").write_bytes(random.Random(0).randbytes(300_000))

    def fetch(folder, requirements):
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / "carried-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("carried_by_a_wheel.py", "")

    monkeypatch.setattr(pack, "SMALLEST", 100)
    monkeypatch.setattr(pack, "fetch", fetch)
    monkeypatch.setattr(pack, "ARCHIVES", {"weights": pack.KitArchive("weights", "of now", fill)})
    library = tmp_path / "_kernels.so"
    library.write_bytes(b"compiled" if _library.library().path is None else _library.library().path.read_bytes())

    def run(limit):
        pack.pack(tmp_path / "kit", tmp_path / "work", limit, library, "", ["weights"])
        return tmp_path / "kit", made

    return run


def test_what_a_call_carries_is_under_the_limit(packed, tmp_path, capsys):
    kit, _ = packed(64 << 20)
    tree, common = pack.working_tree(ROOT), pack.size_of(kit / "common")
    limit = tree + common + 120_000
    kit, made = packed(limit)
    parts = store.KitManifest.read(kit / "common").parts
    assert len(parts) == 3 and len(made) == 1, "an archive is made once"
    said = capsys.readouterr().out
    for part in parts:
        folder = store.part_file(kit, part.name).parent
        carried = tree + pack.size_of(kit / "common") + pack.size_of(folder)
        assert carried <= limit and f"part{part.name} {part.size:,} bytes: a call copies {carried:,}" in said
    commands = pack.calls(kit, store.KitManifest.read(kit / "common"))
    assert [line.split("--kit kit ")[1] for line in commands] == [
        "store:1 probe build test sanitize", "store:2 ops bench", "store:3 tensorrt train",
    ]  # fmt: skip


def test_more_parts_than_stages_all_come_before_the_last(tmp_path):
    piece = [store.KitPiece(str(number), 1, "") for number in range(1, 6)]
    words = [line.split("--kit k ")[1] for line in pack.calls(tmp_path / "k", store.KitManifest(tuple(piece)))]
    assert words == [
        "store:1 probe build test sanitize", "store:2 ops bench", "store:3", "store:4", "store:5 tensorrt train",
    ]  # fmt: skip
    words = [line.split("--kit k ")[1] for line in pack.calls(tmp_path / "k", store.KitManifest())]
    assert words == ["probe build test sanitize", "ops bench", "tensorrt train"]


@needs_kernels
def test_a_dry_run_from_a_kit(packed, tmp_path):
    """The cheap stages, as on a machine that has the project's files and nothing else of it."""
    kit, _ = packed(64 << 20)
    words = ["--kit", str(kit), "--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "benchmarks.gpu_check", *words, "--device", "cpu", "--small"]
    done = subprocess.run([*command, "store:1", "probe", "build"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 steps passed" in done.stdout and "weights: unpacked" in done.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [step["status"] for step in summary["steps"]] == ["passed"] * 3
    assert json.loads((tmp_path / "out" / "build.json").read_text())["library"] == "the carried library"
    probe = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert probe["setting"]["commit"] == store.KitManifest.read(kit / "common").commit
    assert probe["copy GB/s"] > 0 and probe["product TFLOP/s"]["float32"] > 0
    tree = tmp_path / "store" / "tree"
    assert (tree / "stylerig_fast" / "export" / "onnx.py").is_file() and not list(tree.rglob("*.so"))
    assert (tmp_path / "store" / "wheels" / "carried_by_a_wheel.py").is_file()


def test_a_library_of_other_sources_is_left_aside(packed, tmp_path):
    kit, _ = packed(64 << 20)
    config = CheckConfig(ROOT, tmp_path / "out", tmp_path / "store", kit, device="cpu")
    (step,) = STAGES["build"].steps(config)
    assert str(kit / "common" / "_kernels.so.xz") in step.command and "--outdated" not in step.command
    assert step.environment == {"STYLERIG_KERNELS": ""}
    found = replace(store.KitManifest.read(kit / "common"), kernels="others")
    found.write(kit / "common")
    (step,) = STAGES["build"].steps(config)
    assert "--outdated" in step.command and "--carried" not in step.command


def test_a_changed_tree_has_another_commit(tmp_path):
    for name in store.TREE[:-1]:
        (tmp_path / "root" / name).mkdir(parents=True)
    source = tmp_path / "root" / "stylerig_fast" / "a.py"
    source.write_text("a = 1")
    config = CheckConfig(tmp_path / "root", tmp_path / "out", tmp_path / "store", tmp_path / "kit")
    (tmp_path / "kit" / "common").mkdir(parents=True)
    store.KitManifest(commit="abc", sources=store.digest(config.root)).write(tmp_path / "kit" / "common")
    store.prepare(config)
    assert config.environment()["STYLERIG_COMMIT"] == "abc"
    source.write_text("a = 2")
    store.prepare(config)
    assert config.environment()["STYLERIG_COMMIT"] == "abc+"
