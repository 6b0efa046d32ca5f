"""``mobile_synthesis``: the reference against the generator, the kernels against the reference; what it refuses."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.generators.compiled.mobilestylegan import weights_of
from stylerig_fast.images import to_uint8
from stylerig_fast.ops import mobile_synthesis, pack_mobile_weights
from stylerig_fast.ops.reference import mobile_synthesis as reference
from tests.ops.meshes import needs_kernels
from tests.ops.mobile_networks import MACHINE, SHAPES, VARIANTS, codes, dtype_of, small

each_shape = pytest.mark.parametrize("channels", SHAPES.values(), ids=SHAPES.keys())


def draw(ws, packed, resolution, dtype=torch.float32):
    """The pictures of codes ``(B, num_ws, w_dim)``: ``(B, resolution, resolution, 3)``."""
    pictures = torch.full((len(ws), resolution, resolution, 3), 77, dtype=dtype)
    for code, picture in zip(ws, pictures, strict=True):
        mobile_synthesis(code, packed, picture)
    return pictures


def doubled(part):
    """A network with its tensors in float64."""
    if isinstance(part, torch.Tensor):
        return part.double()
    return type(part)(*map(doubled, part)) if hasattr(part, "_fields") else tuple(map(doubled, part))


def assert_same(pictures, ws, weights, kernels):
    """Against plain torch: in float32 sums in another order, in bfloat16 roundings that fall the other way."""
    dtype = dtype_of(kernels)
    exact, expected = (
        torch.stack([reference.mobile_synthesis(w, tensors, pictures.shape[1], dtype) for w in ws])
        for tensors in (doubled(weights), weights)
    )
    scale, error = exact.std(), (pictures - exact).abs()
    if dtype == torch.float32:
        assert error.max() < 4 * (expected - exact).abs().max() + 1e-6 * scale
    else:
        assert error.max() < 5e-2 * scale
        assert error.square().mean().sqrt() < 5e-3 * scale


@each_shape
def test_reference_is_the_generator(channels):
    generator = small(channels)
    ws, weights = codes(generator), weights_of(generator)
    assert weights.channels == generator.channels
    assert (weights.num_ws, weights.w_dim, weights.resolution) == (generator.num_ws, 40, generator.resolution)
    for resolution in (generator.resolution, generator.resolution // 2, 4):
        made = reference.mobile_synthesis(ws[0], weights, resolution)
        expected = generator.synthesis(ws, resolution)[0].permute(1, 2, 0)
        torch.testing.assert_close(made, expected, atol=2e-5 * float(expected.std()), rtol=0)


@needs_kernels
@pytest.mark.parametrize("kernels", VARIANTS)
@each_shape
def test_kernels_follow_the_reference(channels, kernels):
    generator = small(channels)
    ws, weights = codes(generator, 2), weights_of(generator)
    packed = pack_mobile_weights(weights, dtype_of(kernels), kernels=kernels)
    assert packed.kernels == kernels and packed.weights is None
    assert packed.resolutions[:2] == (generator.resolution, generator.resolution // 2)
    for resolution in packed.resolutions:
        pictures = draw(ws, packed, resolution)
        assert_same(pictures, ws, weights, kernels)
        assert torch.equal(draw(ws, packed, resolution, torch.uint8), to_uint8(pictures))


def test_plain_torch_by_name():
    generator = small()
    ws, weights = codes(generator), weights_of(generator)
    packed = pack_mobile_weights(weights, impl="reference")
    assert packed.kernels is None and packed.weights is weights
    for resolution in packed.resolutions:
        pictures = draw(ws, packed, resolution)
        assert torch.equal(pictures[0], reference.mobile_synthesis(ws[0], weights, resolution))
        assert torch.equal(draw(ws, packed, resolution, torch.uint8), to_uint8(pictures))


@needs_kernels
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_pictures_do_not_depend_on_threads(threads):
    """Neither on those that there is memory for, nor on those that run: the order of no sum changes."""
    generator = small((16, 16, 16, 16, 16, 16))
    ws, weights = codes(generator), weights_of(generator)
    expected = draw(ws, pack_mobile_weights(weights, threads=3), generator.resolution)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for room in (1, 2, 8):
            assert torch.equal(draw(ws, pack_mobile_weights(weights, threads=room), generator.resolution), expected)
    finally:
        torch.set_num_threads(before)


@needs_kernels
def test_nothing_is_written_beside_the_picture():
    generator = small()
    packed, ws = pack_mobile_weights(weights_of(generator)), codes(generator)
    room = torch.full((3, 32, 32, 3), 7, dtype=torch.uint8)
    mobile_synthesis(ws[0], packed, room[1])
    assert (room[[0, 2]] == 7).all()
    assert torch.equal(room[1:2], draw(ws, packed, 32, torch.uint8))


@needs_kernels
def test_values_beyond_the_range_are_clamped():
    generator = small()
    for value in generator.to_image.parameters():
        value.mul_(100)
    for kernels in MACHINE:
        packed = pack_mobile_weights(weights_of(generator), dtype_of(kernels), kernels=kernels)
        pictures = draw(codes(generator), packed, 32, torch.uint8)
        assert pictures.min() == 0
        assert pictures.max() == 255


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_mistakes_are_named(impl):
    generator = small()
    packed, ws, picture = (
        pack_mobile_weights(weights_of(generator), impl=impl),
        codes(generator)[0],
        torch.empty(32, 32, 3),
    )
    for wrong, message in (
        (ws[1:], r"ws has shape \(5, 40\), expected \(6, 40\)"),
        (ws.double(), "ws has dtype torch.float64, expected torch.float32"),
        (ws.mT.contiguous().mT, "ws has strides .* expected a contiguous tensor"),
    ):
        with pytest.raises(ValueError, match=f"mobile_synthesis: {message}"):
            mobile_synthesis(wrong, packed, picture)
    for bad, message in (
        (torch.empty(32, 16, 3), r"picture has shape \(32, 16, 3\), expected \(R, R, 3\)"),
        (torch.empty(32, 32, 3).half(), "picture has dtype torch.float16"),
        (torch.empty(64, 64, 3), "a picture of 64 px on cpu, expected one of 32, 16, 8, 4 px on cpu"),
        (torch.empty(2, 2, 3), "a picture of 2 px"),
        (torch.empty(3, 32, 32).permute(1, 2, 0), "picture has strides .* expected a contiguous tensor"),
    ):
        with pytest.raises(ValueError, match=f"mobile_synthesis: {message}"):
            mobile_synthesis(ws, packed, bad)
    with pytest.raises(ValueError, match="expected one of 32, 16, 8, 4 px on cpu"):
        mobile_synthesis(ws.to("meta"), packed, picture.to("meta"))
    with pytest.raises(NotImplementedError, match="there is no gradient"):
        mobile_synthesis(ws.clone().requires_grad_(), packed, picture)
    with pytest.raises(ValueError, match="dtype is torch.float16"):
        pack_mobile_weights(weights_of(generator), torch.float16)


@needs_kernels
def test_kernels_by_name():
    weights = weights_of(small())
    assert MACHINE[0] == "portable"
    assert pack_mobile_weights(weights).kernels == [name for name in MACHINE if "bfloat16" not in name][-1]
    with pytest.raises(ValueError, match="expected 'auto' or one of"):
        pack_mobile_weights(weights, kernels="sse9")
    with pytest.raises(BackendUnavailable, match=r"no 'portable' kernels for torch.bfloat16"):
        pack_mobile_weights(weights, torch.bfloat16, kernels="portable")


@needs_kernels
def test_without_bfloat16_in_the_processor(monkeypatch):
    monkeypatch.setitem(pack_mobile_weights.__globals__, "machine_variants", lambda: ("portable", "avx2"))
    with pytest.raises(BackendUnavailable, match=r"no torch.bfloat16 products; it has portable, avx2"):
        pack_mobile_weights(weights_of(small()), torch.bfloat16)


@needs_kernels
def test_the_raw_operation_refuses_what_it_was_not_packed_for():
    generator = small()
    made = pack_mobile_weights(weights_of(generator))
    packed, workspace, call = made.packed, made.workspace, torch.ops.stylerig.mobile_synthesis
    assert packed is not None and workspace is not None
    ws, picture = codes(generator)[0], torch.empty(32, 32, 3)
    for other in (torch.zeros_like(packed), packed[:-16].clone(), packed[:10].clone()):
        with pytest.raises(RuntimeError, match="not packed by this build"):
            call(ws, other, workspace, picture)
    with pytest.raises(RuntimeError, match="ws is not contiguous or has an unexpected shape"):
        call(ws[:, :39], packed, workspace, picture)
    with pytest.raises(RuntimeError, match="workspace is too small"):
        call(ws, packed, workspace[:1000].clone(), picture)
    for width in (0, 2, 24, 64):
        with pytest.raises(RuntimeError, match=f"cannot make a picture of {width} px from features of 16 px"):
            call(ws, packed, workspace, torch.empty(width, width, 3))
    for dtype in (torch.float64, torch.int8):
        with pytest.raises(RuntimeError):
            call(ws, packed, workspace, picture.to(dtype))


@needs_kernels
def test_packing_refuses_tensors_that_are_no_network():
    weights = weights_of(small())
    call, tensors = torch.ops.stylerig.mobile_synthesis_pack, list(weights.tensors())
    with pytest.raises(RuntimeError, match=f"{len(tensors) - 1} tensors, expected {len(tensors)}"):
        call(tensors[:-1], weights.channels, 40, 0)
    with pytest.raises(RuntimeError, match="tensor 4 is not contiguous or has 63 entries, expected 64"):
        call([*tensors[:4], tensors[4][1:], *tensors[5:]], weights.channels, 40, 0)
    with pytest.raises(RuntimeError, match="the network has 1 levels"):
        call(tensors, weights.channels[:1], 40, 0)
    with pytest.raises(RuntimeError, match="no such kernels"):
        call(tensors, weights.channels, 40, 9)


@needs_kernels
def test_opcheck():
    generator = small((16, 16))
    made = pack_mobile_weights(weights_of(generator))
    arguments = (codes(generator)[0], made.packed, made.workspace, torch.empty(16, 16, 3))
    # Gradients are refused in Python; what is in the workspace afterwards is nobody's business.
    torch.library.opcheck(
        torch.ops.stylerig.mobile_synthesis.default, arguments, test_utils=("test_schema", "test_faketensor")
    )
