"""``picture_layer`` in plain torch, which runs anywhere, against its parts; what it refuses.

The kernel's tests are in test_mobile_layers_emulated.py and test_mobile_cuda_device.py.
"""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.images import to_uint8
from stylerig_fast.ops.reference.synthesis import four_pixels, inverse_haar
from tests.ops.mobile_layers import new_picture, picture_inputs


def test_reference_is_its_parts():
    inputs = picture_inputs((2, 3, 5, 6), torch.float32, 12)
    y = torch.nn.functional.leaky_relu(inputs["x"] + inputs["noise"][:, :, None] + inputs["bias"], 0.2)
    bands = torch.randn(12, 6)
    inputs["weight"] = four_pixels(bands)
    inputs["final_bias"] = inputs["final_bias"][:3].repeat(4)
    expected = inverse_haar((y * inputs["style"][:, None, None]) @ bands.mT) + inputs["final_bias"][:3]
    picture = new_picture(inputs)
    ops.picture_layer(**inputs, picture=picture, impl="reference")
    torch.testing.assert_close(picture, expected, atol=1e-4, rtol=1e-4)
    pixels = new_picture(inputs, torch.uint8)
    ops.picture_layer(**inputs, picture=pixels, impl="reference")
    assert torch.equal(pixels, to_uint8(picture))


def test_mistakes_are_named():
    inputs = picture_inputs((2, 4, 4, 8), torch.float32, 12)
    picture = new_picture(inputs)
    with pytest.raises(ValueError, match=r"picture_layer: weight has shape \(5, 8\), expected \(12, C\)"):
        ops.picture_layer(**{**inputs, "weight": inputs["weight"][:5]}, picture=picture, impl="reference")
    three = {"weight": inputs["weight"][:3], "final_bias": inputs["final_bias"][:3]}
    with pytest.raises(ValueError, match=r"picture has shape \(2, 8, 8, 3\), expected \(2, 4, 4, 3\)"):
        ops.picture_layer(**{**inputs, **three}, picture=picture, impl="reference")
