"""The command line's own work: parsing, files in and out, errors as one line. The Engine is a stand-in here."""

from __future__ import annotations

import json
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from stylerig_fast.cli import main
from stylerig_fast.commands.contact_sheet import Tile, draw_sheet
from stylerig_fast.commands.demo import REQUESTS, pose_donors
from stylerig_fast.commands.doctor import _outcome, _tensorrt
from stylerig_fast.commands.options import EngineOptions, load_latent, parse_slots, parse_units
from stylerig_fast.commands.output import check_output, numbered, write_png
from stylerig_fast.errors import CheckpointError
from stylerig_fast.face.rotation import degrees_to_axis_angle
from stylerig_fast.params import FaceParams
from tests.engine.backends.tensorrt_stand_in import use
from tests.stand_in import NUM_WS, StandIn


@pytest.fixture
def engine(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr(EngineOptions, "open_engine", lambda options, dtype=None: stand_in)
    return stand_in


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fails(capsys, *args):
    """The error line of a command that must fail as expected."""
    assert main(args) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.strip().splitlines()
    assert lines[-1].startswith("stylerig: error: ")
    assert "Traceback" not in printed.err
    return lines[-1]


# ---- requests -------------------------------------------------------------------------------------


def test_edit_passes_on_everything_that_is_asked(engine, folder, capsys):
    args = "edit --seed 3 --yaw -20 --pitch 5 --expression jawOpen=0.6 mouthSmileLeft=1 --light -1 0 1 --clamp --json"
    assert main([*args.split(), "--out", "pictures/out.png"]) == 0
    assert engine.called("sample") == [("sample", 3, 1, 0.7)]
    [(_, request, clamp)] = engine.called("edit")
    assert clamp is True
    torch.testing.assert_close(request.pose_degrees()[0, :2], torch.tensor([-20.0, 5.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(request.expression, torch.tensor([[0.6, 1.0, 0.0]]))
    torch.testing.assert_close(request.light_direction(), torch.tensor([[-1.0, 0.0, 1.0]]) / 2**0.5, atol=1e-4, rtol=0)
    figures = json.loads(capsys.readouterr().out)
    assert figures["wrote"] == ["pictures/out.png"]
    assert figures["request"]["pose"] == {"yaw": -20, "pitch": 5}
    assert figures["device"] == "cpu"
    assert figures["ms"] > 0
    picture = Image.open(folder / "pictures/out.png")
    assert (picture.mode, picture.size) == ("RGB", (8, 8))
    np.testing.assert_array_equal(np.asarray(picture), engine.render(engine.sample(seed=3))[0])


def test_what_is_not_asked_stays(engine, folder):
    assert main(["edit", "--seed", "3", "--expression", "jawOpen=0.5"]) == 0
    [(_, request, clamp)] = engine.called("edit")
    own = engine.params(engine.sample(seed=3))
    assert clamp is False
    assert torch.equal(request.rotation, own.rotation)
    assert torch.equal(request.illumination, own.illumination)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["edit"], "nothing to edit"),
        (["edit", "--yaw", "nan"], "yaw is nan"),
        (["edit", "--expression", "jawOpen"], "expected NAME=VALUE"),
        (["edit", "--expression", "jawOpen=wide"], "expected NAME=VALUE"),
        (["edit", "--expression", "jawOpen=nan"], "finite"),
        (["edit", "--expression", "jawOpne=0.5"], "did you mean jawOpen"),
        (["edit", "--light", "0", "0", "0"], "zero vector"),
        (["edit", "--yaw", "5", "--light-strength", "0.5"], "--light"),
        (["sample", "--n", "0"], "n is 0"),
        (["sample", "--psi", "inf"], "psi is inf"),
        (["generate", "--n", "0"], "n is 0"),
        (["mix", "--slots", "4-16"], "slots, 0 to 15"),
        (["mix", "--slots", "a"], "expected numbers and ranges"),
        (["demo", "--seed", "1"], "at least 2"),
        (["sample", "--out", "picture.jpg"], ".png"),
        (["sample", "--save-latent", "codes.txt"], ".npy"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(engine, folder, capsys, args, message):
    assert message in fails(capsys, *args)
    assert list(folder.iterdir()) == []


def test_a_wrong_option_names_it(engine, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["edit", "--yaw", "left"])
    assert stopped.value.code == 2
    assert "yaw" in capsys.readouterr().err


def test_an_engine_error_is_one_line(monkeypatch, folder, capsys):
    def broken(options):
        raise CheckpointError("rig/model.safetensors: truncated")

    monkeypatch.setattr(EngineOptions, "open_engine", broken)
    assert "rig/model.safetensors: truncated" in fails(capsys, "sample")
    monkeypatch.setenv("STYLERIG_TRACEBACK", "1")
    with pytest.raises(CheckpointError):
        main(["sample"])


def test_a_bug_keeps_its_traceback(monkeypatch, folder):
    monkeypatch.setattr(EngineOptions, "open_engine", lambda options, dtype=None: None)
    with pytest.raises(AttributeError):
        main(["sample"])


@pytest.mark.parametrize("device", ["gpu!", "nonsense"])
def test_an_unknown_device_is_named(folder, capsys, device):
    assert f"--device {device}" in fails(capsys, "sample", "--device", device)


@pytest.mark.parametrize(
    ("text", "slots"), [("0-7", list(range(8))), ("3", [3]), ("0,2,4-6", [0, 2, 4, 5, 6]), ("15", [15])]
)
def test_slots(text, slots):
    assert parse_slots(text, NUM_WS) == slots


@pytest.mark.parametrize("text", ["", "-1", "7-3", "0-", "1..3", "16", "0 1", "0-99999999999999"])
def test_slots_that_are_none(text):
    with pytest.raises(ValueError, match="slots"):
        parse_slots(text, NUM_WS)


def test_units():
    assert parse_units(("jawOpen=0.6", "browInnerUp=-1e-1")) == {"jawOpen": 0.6, "browInnerUp": -0.1}


# ---- people ---------------------------------------------------------------------------------------


def test_sample_writes_numbered_pictures_and_codes_that_edit_reads(engine, folder, capsys):
    assert main("sample --n 3 --seed 5 --psi 0.5 --out people/p.png --save-latent people/w.npy".split()) == 0
    names = ["p-0.png", "p-1.png", "p-2.png", "w.npy"]
    assert sorted(path.name for path in (folder / "people").iterdir()) == names
    w = engine.sample(seed=5, n=3, psi=0.5)
    assert torch.equal(load_latent(folder / "people/w.npy", NUM_WS), w)
    assert main("edit --latent people/w.npy --yaw 10 --out people/e.png".split()) == 0
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "people/e-1.png")), engine.render(w)[1])


def test_transfer_and_mix_take_two_people(engine, folder):
    assert main("transfer --seed 1 --other-seed 2 --controls pose illumination".split()) == 0
    assert engine.called("transfer") == [("transfer", ("pose", "illumination"))]
    assert main("mix --seed 1 --other-seed 2 --slots 0-3".split()) == 0
    assert engine.called("mix") == [("mix", [0, 1, 2, 3])]
    assert [call[1] for call in engine.called("sample")] == [1, 2, 1, 2]


def test_generate_passes_the_controls(engine, folder):
    assert main("generate --n 2 --yaw -15 --light 1 0 1 --light-strength 0.4".split()) == 0
    [(_, asked)] = engine.called("generate")
    assert asked == {"pose": {"yaw": -15.0}, "light": {"direction": (1.0, 0.0, 1.0), "strength": 0.4}}
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["generate-0.png", "generate-1.png"]


# ---- latent codes in files ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(NUM_WS, 512), (2, NUM_WS, 512)])
def test_latent_files(tmp_path, dtype, shape):
    array = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    np.save(tmp_path / "w.npy", array)
    np.savez(tmp_path / "w.npz", w=array, z=np.zeros(3))
    np.savez(tmp_path / "only.npz", code=array)
    for name in ("w.npy", "w.npz", "only.npz"):
        loaded = load_latent(tmp_path / name, NUM_WS)
        assert loaded.dtype == torch.float32
        np.testing.assert_array_equal(loaded.numpy(), array.astype(np.float32).reshape(-1, NUM_WS, 512))


class Explosive:
    """Its unpickling would be noticed."""

    def __reduce__(self):
        return (pytest.fail, ("a latent file was unpickled",))


def write_bad(path, kind):
    good = np.zeros((NUM_WS, 512), np.float32)
    if kind == "missing":
        return
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Explosive()))
    elif kind == "object array":
        np.save(path.open("wb"), np.array([Explosive()], dtype=object), allow_pickle=True)
    elif kind == "text":
        path.write_text("not an array")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        np.save(path.open("wb"), good)
        path.write_bytes(path.read_bytes()[:1000])
    elif kind == "truncated zip":
        np.savez(path.open("wb"), w=good)
        path.write_bytes(path.read_bytes()[:1000])
    else:
        arrays: dict[str, np.ndarray] = {
            "shape": np.zeros((18, 512), np.float32),
            "no people": np.zeros((0, NUM_WS, 512), np.float32),
            "integers": np.zeros((NUM_WS, 512), np.int64),
            "nan": np.full((NUM_WS, 512), np.nan, np.float32),
            "beyond float32": np.full((NUM_WS, 512), 1e300),
        }
        np.save(path.open("wb"), arrays[kind])


BAD_LATENTS = {
    "missing": "no such file",
    "pickle": "not a latent code",
    "object array": "not a latent code",
    "text": "not a latent code",
    "empty": "not a latent code",
    "truncated": "not a latent code",
    "truncated zip": "not a latent code",
    "shape": "shape (18, 512)",
    "no people": "shape (0, 16, 512)",
    "integers": "int64",
    "nan": "not finite",
    "beyond float32": "not finite",
}


@pytest.mark.parametrize("kind", BAD_LATENTS)
def test_a_bad_latent_file_is_refused(engine, folder, capsys, kind):
    path = folder / "code.npy"
    write_bad(path, kind)
    line = fails(capsys, "edit", "--latent", "code.npy", "--yaw", "10")
    assert "code.npy" in line
    assert BAD_LATENTS[kind] in line
    assert not (folder / "out").exists()


def test_several_arrays_without_a_known_name_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(ValueError, match="the arrays a, b"):
        load_latent(tmp_path / "w.npz", NUM_WS)


# ---- files out ------------------------------------------------------------------------------------


def test_an_output_that_cannot_be_is_refused_before_the_work(engine, folder, capsys):
    (folder / "taken.png").mkdir()
    assert "is a folder" in fails(capsys, "sample", "--out", "taken.png")
    (folder / "file").write_text("")
    assert "is a file, not a folder" in fails(capsys, "sample", "--out", "file/below/x.png")
    assert engine.calls == []


def test_a_failed_write_keeps_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    write_png(Image.new("RGB", (2, 2), "red"), path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_png(Image.new("RGB", (2, 2), "blue"), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_numbered_names_sort_as_the_people_do(tmp_path):
    names = [path.name for path in numbered(tmp_path / "a.png", 11)]
    assert names == sorted(names)
    assert (names[0], names[-1]) == ("a-00.png", "a-10.png")
    assert numbered(tmp_path / "a.png", 1) == [tmp_path / "a.png"]


def test_a_new_folder_may_be_named(tmp_path):
    check_output(tmp_path / "a" / "b" / "c.PNG")


# ---- demo -----------------------------------------------------------------------------------------


def test_demo_draws_a_sheet_and_reports(engine, folder, capsys):
    assert main("demo --seed 1 2 3 --out sheet.png --json".split()) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["any edit, ms"] > 0
    assert {f"{name}, ms" for name in REQUESTS} <= set(figures)
    assert len(engine.called("edit")) == 3 * len(REQUESTS)
    assert len(engine.called("transfer")) == 3
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width > sheet.height > 1000


def test_demo_asks_what_its_headings_say(engine):
    own = engine.params(engine.sample(seed=1))
    asked = {name: change(own) for name, change in REQUESTS.items()}
    assert float(asked["yaw -25°"].pose_degrees()[0, 0]) == pytest.approx(-25, abs=1e-3)
    assert float(asked["yaw +25°"].pose_degrees()[0, 0]) == pytest.approx(25, abs=1e-3)
    assert float(asked["pitch +15°"].pose_degrees()[0, 1]) == pytest.approx(15, abs=1e-3)
    assert float(asked["light from the left"].light_direction()[0, 0]) < -0.5
    assert float(asked["light from the right"].light_direction()[0, 0]) > 0.5


def test_the_pose_comes_from_the_most_different_person():
    degrees = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [-27.0, 5.0, 0.0]])
    assert pose_donors(FaceParams(rotation=degrees_to_axis_angle(degrees))) == [2, 2, 1]


def test_sheet_places_pictures_models_and_insets():
    red, green, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue"))
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    sheet = draw_sheet("t", "f", ["a", "b"], [[Tile(red, green), Tile(red, clear, inset=blue)]])
    pixels = np.asarray(sheet)
    left, right = pixels[:, : sheet.width // 2], pixels[:, sheet.width // 2 :]
    assert (left == (0, 255, 0)).all(-1).any()
    assert not (right == (0, 255, 0)).all(-1).any()
    assert (right == (0, 0, 255)).all(-1).any()
    assert not (left == (0, 0, 255)).all(-1).any()


def test_sheet_wants_a_tile_per_heading():
    tile = Tile(Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4)))
    with pytest.raises(ValueError, match="headings"):
        draw_sheet("t", "f", ["a", "b"], [[tile]])


# ---- doctor and evaluate --------------------------------------------------------------------------


def test_doctor_reports_versions_ops_and_parts(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["torch"].startswith(torch.__version__)
    assert {f"op {op}, cpu" for op in ("morphable", "rasterize", "vertex_normals", "masked_photometric")} <= set(report)
    assert "vertices" in report["face model"]
    assert "checksums right" in report["rig"]
    assert "TensorRT" in report["tensorrt"]


def test_doctor_tells_what_is_missing_and_goes_on(monkeypatch, capsys):
    def missing():
        raise CheckpointError("the package is not installed: pip install it")

    monkeypatch.setattr("stylerig_fast.generators.pretrained.find_package", missing)
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["generator"] == "not usable: the package is not installed: pip install it"
    assert "vertices" in report["face model"]


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        ("tensorrt", "TensorRT 10.13.0.35, tensorrt: builds on the GPU"),
        (
            "rtx",
            "TensorRT for RTX 1.7.1.116, tensorrt_rtx_bindings: builds plans on any machine, for compute capability 8",
        ),
        (None, "not usable: the tensorrt backend: TensorRT: "),
    ],
)
def test_doctor_tells_which_tensorrt(library, expected, monkeypatch):
    use(monkeypatch, library or "tensorrt")
    if library is None:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert _outcome(_tensorrt).startswith(expected)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--portraits", "nowhere"], "nowhere: no such file or folder"),
        (["--portraits", "."], "no *.parquet"),
        (["--portraits", ".", "--people", "0"], "at least 1"),
        (["--portraits", ".", "--grid", "."], "is a folder"),
    ],
)
def test_evaluate_refuses_what_cannot_be_measured(engine, folder, capsys, args, message):
    assert message in fails(capsys, "evaluate", *args)
