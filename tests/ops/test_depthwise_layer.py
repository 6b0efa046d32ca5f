"""``depthwise_layer`` in plain torch, which runs anywhere, against its parts; what it refuses.

The kernel's tests are in test_mobile_layers_emulated.py and test_mobile_cuda_device.py.
"""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.ops import _library
from stylerig_fast.ops.reference.synthesis import inverse_haar
from tests.ops.mobile_layers import layer_inputs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_reference_is_its_parts(dtype):
    inputs = layer_inputs((2, 5, 3, 6), torch.float32, bands=True)
    x, channels = inputs["x"], 6
    y = torch.nn.functional.leaky_relu(x + inputs["noise"][:, :, None] + inputs["bias"], 0.2)
    y = inverse_haar(y * inputs["bands"][:, None, None])
    conv = torch.nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    conv.weight.data = inputs["weight"].permute(2, 0, 1)[:, None]
    with torch.no_grad():
        expected = conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) * inputs["style"][:, None, None]
    found = ops.depthwise_layer(**inputs, dtype=dtype, impl="reference")
    assert found.dtype == dtype and found.is_contiguous()
    torch.testing.assert_close(found, expected.to(dtype))


def test_mistakes_are_named():
    inputs = layer_inputs((2, 4, 4, 8), torch.float32, bands=True)
    wrong = {
        "x": (inputs["x"][..., :-1].contiguous(), r"with bands expected \(B, H, W, 4C\)"),
        "bias": (inputs["bias"][:8], r"bias has shape \(8,\), expected \(C,\) with C = 32"),
        "weight": (inputs["weight"].permute(2, 0, 1), r"expected \(3, 3, 8\)"),
        "style": (inputs["style"].half(), "style has dtype torch.float16, expected torch.float32"),
        "bands": (inputs["bands"].mT.contiguous().mT, "bands has strides .* expected contiguous rows"),
        "noise": (inputs["noise"].mT, "noise has strides .* expected a contiguous tensor"),
    }
    for name, (value, message) in wrong.items():
        with pytest.raises(ValueError, match=f"depthwise_layer: .*{message}"):
            ops.depthwise_layer(**{**inputs, name: value}, impl="reference")
    with pytest.raises(ValueError, match="dtype is torch.float32, of an x of torch.float16 expected the same"):
        ops.depthwise_layer(**{**inputs, "x": inputs["x"].half()}, dtype=torch.float32, impl="reference")
    with pytest.raises(NotImplementedError, match="no gradient"):
        ops.depthwise_layer(**{**inputs, "x": inputs["x"].requires_grad_()}, impl="reference")


def test_the_cpu_has_no_kernels_by_design(monkeypatch):
    monkeypatch.setattr(_library, "_library", _library.KernelLibrary(path=_library.library().path or __file__))
    inputs = layer_inputs((1, 4, 4, 8), torch.float32, bands=True)
    with pytest.raises(BackendUnavailable, match="depthwise_layer has no CPU kernel by design"):
        ops.depthwise_layer(**inputs, impl="cpu")
    assert "no CPU kernel by design" in ops.paths(torch.device("cpu"))["picture_layer"]
    assert "no CUDA kernel by design" in ops.paths(torch.device("cuda"))["mobile_synthesis"]
    assert "built without CUDA" in ops.paths(torch.device("cuda"))["picture_layer"]
