"""Torch's own files, both kinds, held against ``torch.load``."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import pickles, read_pickle
from tests.untrusted.craft import call, dumps_torch, named, number, persistent, tensor, torch_zip, whole

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
DTYPES += [torch.int8, torch.uint8, torch.bool]
EXACT = {"float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"}


def tensors(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    base = (torch.arange(24).reshape(2, 3, 4) % 7 - 3).to(dtype)
    return {
        "plain": base,
        "transposed": base.transpose(0, 2),
        "sliced": base[1:, ::2],
        "scalar": base[1, 1, 1],
        "empty": base[:0],
        "expanded": base[:1, :1].expand(5, 2, 4),
        "same storage": base.reshape(-1)[5:9],
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_layout(tmp_path, dtype, zipped):
    value = tensors(dtype)
    (tmp_path / "x.pt").write_bytes(dumps_torch(value, zipped))
    read = pickles.read(tmp_path / "x.pt")
    assert list(read) == list(value)
    for name, one in value.items():
        expected = one.float().numpy() if dtype == torch.bfloat16 else one.numpy()
        np.testing.assert_array_equal(read[name], expected, err_msg=name, strict=True)


@pytest.mark.parametrize("zipped", [True, False])
def test_modules_states(tmp_path, zipped):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    value = {
        "state": module.state_dict(),
        "parameter": nn.Parameter(torch.ones(3)),
        "with attribute": _with_attribute(),
        "size": torch.Size((1, 2)),
        "dtype": torch.float16,
        "device": torch.device("cuda", 1),
        "optimizer": torch.optim.Adam(module.parameters()).state_dict(),
        "ordered": OrderedDict(a=1),
    }
    (tmp_path / "x.pt").write_bytes(dumps_torch(value, zipped))
    read = read_pickle(tmp_path / "x.pt")
    for name, one in module.state_dict().items():
        np.testing.assert_array_equal(read["state"][name], one.numpy(), strict=True)
    assert read["parameter"].tolist() == read["with attribute"].tolist() == [1, 1, 1]
    assert (read["size"], read["dtype"], read["device"]) == ([1, 2], "torch.float16", "cuda:1")
    assert read["optimizer"]["param_groups"][0]["lr"] == 1e-3


def _with_attribute() -> nn.Parameter:
    parameter = nn.Parameter(torch.ones(3))
    parameter.__dict__["note"] = "kept by torch, forgotten here"
    return parameter


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_tensors_in_a_plain_pickle(tmp_path, protocol):
    # As NVlabs' checkpoints have them: each storage is a file of the older kind inside the pickle.
    value = tensors(torch.float32) | {"parameter": nn.Parameter(torch.ones(2, 2)), "empty": torch.zeros(0)}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol))
    read = pickles.read(tmp_path / "x.pkl")
    for name, one in value.items():
        np.testing.assert_array_equal(read[name], one.detach().numpy(), err_msg=name, strict=True)


def test_legacy_file_with_another_protocol(tmp_path):
    target = tmp_path / "x.pt"
    torch.save({"a": torch.ones(2)}, target, _use_new_zipfile_serialization=False, pickle_protocol=4)
    assert pickles.read(target)["a"].tolist() == [1, 1]


def test_storage_by_itself(tmp_path):
    (tmp_path / "x.pt").write_bytes(dumps_torch(torch.ones(3).untyped_storage(), True))
    assert pickles.read(tmp_path / "x.pt").view(np.float32).tolist() == [1, 1, 1]


def test_newer_rebuilding_with_a_dtype(tmp_path):
    body = tensor(persistent("Untyped", "0", number(8)), (2,), (1,), rebuild="_rebuild_tensor_v3")
    with_dtype = body[:-2] + named("torch.float32") + body[-2:]
    path = torch_zip(tmp_path / "x.pt", whole(with_dtype), {"0": np.array([1, 2], "<f4").tobytes()})
    assert pickles.read(path).tolist() == [1, 2]


def test_the_error_names_the_tensor(tmp_path):
    body = b"}" + b"X\x05\x00\x00\x00g_ema" + b"}" + b"X\x01\x00\x00\x00w"
    body += tensor(persistent("Float", "0", number(4)), (9,), (1,)) + b"ss"
    path = torch_zip(tmp_path / "x.pt", whole(body), {"0": bytes(16)})
    with pytest.raises(CheckpointError, match=r"x\.pt: g_ema\.w: a tensor of size \(9,\)"):
        pickles.read(path)


def test_a_step_that_is_never_taken_may_be_any_number(tmp_path):
    body = tensor(persistent("Float", "0", number(4)), (4, 1), (1, 1 << 61))
    path = torch_zip(tmp_path / "x.pt", whole(body), {"0": np.arange(4, dtype="<f4").tobytes()})
    assert pickles.read(path).tolist() == [[0], [1], [2], [3]]


@pytest.mark.parametrize("order", [b"big", b"middle", b"", b"little\n"])
def test_another_byte_order_is_refused(tmp_path, order):
    path = torch_zip(tmp_path / "x.pt", whole(call(named("collections.OrderedDict"))), {}, byteorder=order)
    with pytest.raises(CheckpointError, match="byte order"):
        pickles.read(path)


@pytest.mark.parametrize("name", ["genforce_stylegan1_64.pth", "rosinality_stylegan2_64.pt"])
def test_goldens_are_what_torch_reads(shared, name):
    path = shared / "goldens" / name
    read = read_pickle(path)
    expected = torch.load(path, weights_only=True)
    flat = {
        (group, key): value for group, part in expected.items() if isinstance(part, dict) for key, value in part.items()
    }
    assert flat
    for (group, key), value in flat.items():
        np.testing.assert_array_equal(read[group][key], value.numpy(), err_msg=key, strict=True)
