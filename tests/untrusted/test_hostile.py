from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import build_tree, pickles, read_pickle
from tests.untrusted.craft import call, named, text, torch_zip, whole
from tests.untrusted.hostile import EXCESSIVE, EXECUTING, TENSORS, write_tensor


@pytest.mark.parametrize("name", EXECUTING)
def test_nothing_is_executed(name, tmp_path, sentinel):
    path = tmp_path / "hostile.pkl"
    path.write_bytes(EXECUTING[name](sentinel))
    with pytest.raises(CheckpointError, match=r"hostile\.pkl: "):
        pickles.read(path)


def test_the_corpus_would_execute_elsewhere(tmp_path):
    # That the sentinel does not appear means something only if it could.
    for name in ("os.system", "protocol 0", "eval", "INST", "getattr"):
        path = tmp_path / name.replace(" ", "_")
        subprocess.run(
            [sys.executable, "-c", "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"],
            input=EXECUTING[name](path),
            check=False,
            capture_output=True,
        )
        assert path.exists(), name


@pytest.mark.parametrize("name", ["os.system", "dotted name", "load_from_bytes, legacy", "persistent object with code"])
def test_the_child_refuses_by_name(name, tmp_path, sentinel):
    path = tmp_path / "hostile.pkl"
    path.write_bytes(EXECUTING[name](sentinel))
    with pytest.raises(CheckpointError, match=r"hostile\.pkl: refuses the global (\S+system): .*not in the allow-list"):
        read_pickle(path)


@pytest.mark.parametrize("name", ["os.system", "dotted name", "persistent object with code"])
def test_nothing_is_executed_in_a_zip_file(name, tmp_path, sentinel):
    path = torch_zip(tmp_path / "hostile.pt", EXECUTING[name](sentinel), {})
    with pytest.raises(CheckpointError, match="refuses the global"):
        pickles.read(path)


def test_a_zip_file_has_no_file_in_a_file(tmp_path, sentinel):
    path = torch_zip(tmp_path / "hostile.pt", EXECUTING["load_from_bytes"](sentinel), {})
    with pytest.raises(CheckpointError, match="inside a torch file"):
        pickles.read(path)


def test_source_text_is_dropped_unread(tmp_path, sentinel):
    path = tmp_path / "persistent.pkl"
    meta = {
        "type": "class",
        "version": 6,
        "module_src": f"open({str(sentinel)!r}, 'w').close()",
        "class_name": "Generator",
        "state": {"_init_args": (), "_init_kwargs": {"z_dim": 512}},
    }
    body = pickle.dumps(meta, 2)[2:-1]
    path.write_bytes(whole(call(named("torch_utils.persistence._reconstruct_persistent_obj"), body)))
    record = read_pickle(path)
    assert (record.kind, record.name) == ("torch_utils.persistence", "Generator")
    assert record.fields == {"_init_args": [], "_init_kwargs": {"z_dim": 512}}


@pytest.mark.parametrize("name", EXCESSIVE)
def test_excess_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr(build_tree, "MAX_NODES", 200_000)  # sooner than a user's
    path = tmp_path / "excessive.pkl"
    path.write_bytes(EXCESSIVE[name]())
    with pytest.raises(CheckpointError, match=r"excessive\.pkl: "):
        pickles.read(path)


@pytest.mark.parametrize("name", TENSORS)
def test_impossible_tensors_are_refused(name, tmp_path):
    with pytest.raises(CheckpointError, match=r"tensors\.pt: "):
        pickles.read(write_tensor(tmp_path / "tensors.pt", TENSORS[name]))


def test_extension_codes_do_not_reach_the_registry(tmp_path, sentinel):
    import copyreg

    path = tmp_path / "extension.pkl"
    path.write_bytes(whole(b"\x82\xf0", text("x"), b"\x85R"))
    copyreg.add_extension("os", "system", 0xF0)
    try:
        with pytest.raises(CheckpointError, match="extension code"):
            pickles.read(path)
    finally:
        copyreg.remove_extension("os", "system", 0xF0)


def test_names_in_messages_are_printable(tmp_path):
    path = tmp_path / "control.pkl"
    path.write_bytes(whole(call(named("os\x1b[2J.system" + "x" * 5000))))
    with pytest.raises(CheckpointError) as refusal:
        read_pickle(path)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 600
