from __future__ import annotations

import threading

import pytest
import torch
from torch.nn import functional as F

from stylerig_fast import ops
from stylerig_fast.errors import BackendUnavailable, CheckpointError
from stylerig_fast.generators import MobileStyleGAN, load_pretrained
from stylerig_fast.generators.compiled import MobileSynthesis, mobilestylegan
from stylerig_fast.ops import _library
from stylerig_fast.ops.reference import mobile_synthesis as reference
from stylerig_fast.ops.reference.synthesis import to_bytes
from tests.ops.meshes import needs_kernels

MACHINE = mobilestylegan.machine_kernels()
VARIANTS = [
    pytest.param(name, marks=[] if name in MACHINE else pytest.mark.skip(reason=f"this CPU has no {name}"))
    for name in ("portable", "avx2", "avx512", "avx512_bfloat16")
]
SHAPES = {
    "whole_groups": (64, 64, 32),
    "padded_bands": (20, 12, 24, 8),  # and odd panels
    "one_block": (16, 48),
    "strips": (64, 32, 16, 16, 16, 16),
    "deep": (16, 16, 16, 16, 16, 16, 16),  # several columns of strips, and blocks in one chain
}
each_shape = pytest.mark.parametrize("channels", SHAPES.values(), ids=SHAPES.keys())


def small(channels=SHAPES["whole_groups"], w_dim=40, seed=0):
    """Random weights; noise maps and biases are not zero either."""
    torch.manual_seed(seed)
    generator = MobileStyleGAN(channels=channels, w_dim=w_dim, mapping_layers=1, name="small")
    for name, value in generator.state_dict().items():
        if "noise" in name or "bias" in name:
            value.normal_().mul_(0.3)
        if "modulation.bias" in name or "up.bias" in name:
            value.add_(1)
    return generator.requires_grad_(False)


def codes(generator, batch=1, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(batch, generator.num_ws, generator.w_dim, generator=draw)


def dtype_of(kernels):
    return torch.bfloat16 if kernels == "avx512_bfloat16" else torch.float32


def doubled(part):
    """A network with its tensors in float64."""
    if isinstance(part, torch.Tensor):
        return part.double()
    if isinstance(part, dict):
        return {key: doubled(value) for key, value in part.items()}
    return type(part)(*map(doubled, part)) if hasattr(part, "_fields") else tuple(map(doubled, part))


def assert_same(found, ws, network, kernels, resolution, head=None):
    """Against plain torch: in float32 sums in another order, in bfloat16 roundings that fall the other way."""
    dtype = dtype_of(kernels)
    exact, expected = (
        torch.stack([reference.mobile_synthesis(w, weights, resolution, head, dtype) for w in ws])
        for weights in (doubled(network), network)
    )
    scale, error = exact.std(), (found.permute(0, 2, 3, 1) - exact).abs()
    if dtype == torch.float32:
        assert error.max() < 4 * (expected - exact).abs().max() + 1e-6 * scale
    else:
        assert error.max() < 5e-2 * scale
        assert error.square().mean().sqrt() < 5e-3 * scale


@each_shape
def test_reference_is_the_generator(channels):
    generator = small(channels)
    ws = codes(generator)
    network = mobilestylegan.network_of(generator)
    for resolution in (generator.resolution, generator.resolution // 2, 4):
        made = reference.mobile_synthesis(ws[0], network, resolution)
        expected = generator.synthesis(ws, resolution)[0].permute(1, 2, 0)
        torch.testing.assert_close(made, expected, atol=2e-5 * float(expected.std()), rtol=0)


@needs_kernels
@pytest.mark.parametrize("kernels", VARIANTS)
@each_shape
def test_kernels_follow_the_reference(channels, kernels):
    generator = small(channels)
    ws = codes(generator, 2)
    dtype = dtype_of(kernels)
    plan = MobileSynthesis(generator, dtype, kernels=kernels)
    network = mobilestylegan.network_of(generator)
    resolution = generator.resolution
    while resolution >= 4:
        assert_same(plan.synthesis(ws, resolution), ws, network, kernels, resolution)
        found, rounded = plan.pictures(ws, resolution), to_bytes(plan.synthesis(ws, resolution))
        assert torch.equal(found, rounded.permute(0, 2, 3, 1))
        resolution //= 2


@needs_kernels
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_pictures_do_not_depend_on_threads(threads):
    """Neither on those that there is memory for, nor on those that run: the order of no sum changes."""
    generator = small((16, 16, 16, 16, 16, 16))
    ws = codes(generator)
    expected = MobileSynthesis(generator, threads=3).synthesis(ws)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for room in (1, 2, 8):
            assert torch.equal(MobileSynthesis(generator, threads=room).synthesis(ws), expected)
    finally:
        torch.set_num_threads(before)


@needs_kernels
@pytest.mark.parametrize("kernels", VARIANTS)
def test_preview_heads(kernels):
    generator = small((64, 64, 32, 32, 16))
    heads = {
        2: ops.PreviewHead(torch.randn(12, 32), torch.randn(12)),
        0: ops.PreviewHead(torch.randn(3, 64), torch.randn(3)),
    }
    plan = MobileSynthesis(generator, dtype_of(kernels), heads=heads, kernels=kernels)
    network, ws = mobilestylegan.network_of(generator, heads), codes(generator)
    assert plan.previews == (8, 64)
    for resolution, head in ((8, 0), (64, 2)):
        assert_same(plan.synthesis(ws, resolution, preview=True), ws, network, kernels, resolution, head)
        assert plan.pictures(ws, resolution, preview=True).shape == (1, resolution, resolution, 3)
    with pytest.raises(ValueError, match=r"no preview head for 32 px; there are \(8, 64\)"):
        plan.pictures(ws, 32, preview=True)
    # The whole picture is still there, and small ones of it.
    assert_same(plan.synthesis(ws, 16), ws, network, kernels, 16)


@needs_kernels
def test_out_is_written_and_nothing_beside_it():
    generator = small()
    plan = MobileSynthesis(generator)
    ws = codes(generator, 2)
    room = torch.full((4, 32, 32, 3), 7, dtype=torch.uint8)
    assert plan.pictures(ws, out=room[1:3]).data_ptr() == room[1:3].data_ptr()
    assert (room[[0, 3]] == 7).all()
    assert torch.equal(room[1:3], plan.pictures(ws))
    assert plan.pictures(ws[:0]).shape == (0, 32, 32, 3)
    # A view of every other code.
    assert torch.equal(plan.pictures(ws.repeat_interleave(2, 0)[::2]), room[1:3])


@needs_kernels
def test_values_beyond_the_range_are_clamped():
    generator = small()
    for value in generator.to_image.parameters():
        value.mul_(100)
    for kernels in MACHINE:
        plan = MobileSynthesis(generator, dtype_of(kernels), kernels=kernels)
        picture = plan.pictures(codes(generator))
        assert picture.min() == 0
        assert picture.max() == 255


@needs_kernels
def test_threads_take_turns():
    generator = small()
    plan = MobileSynthesis(generator)
    many = [codes(generator, seed=i) for i in range(4)]
    expected = [plan.pictures(ws) for ws in many]
    wrong = []

    def work(i):
        wrong.extend(i for _ in range(20) if not torch.equal(plan.pictures(many[i]), expected[i]))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_what_does_not_fit_is_refused():
    generator = small()
    plan = MobileSynthesis(generator, impl="reference")
    ws = codes(generator)
    for bad in (ws[0], ws[:, :2], ws.double(), ws.half()):
        with pytest.raises(ValueError, match=r"mobile_synthesis: ws is .*expected torch.float32 \(B, 6, 40\)"):
            plan.pictures(bad)
    for resolution in (2, 12, 64):
        with pytest.raises(ValueError, match=r"expected a power of two from 4 to 32"):
            plan.pictures(ws, resolution)
    with pytest.raises(ValueError, match=r"out is .*expected contiguous uint8"):
        plan.pictures(ws, out=torch.empty(1, 32, 32, 3))
    with pytest.raises(NotImplementedError, match="there is no gradient"):
        plan.synthesis(ws.requires_grad_())
    with pytest.raises(ValueError, match=r"expected torch.float32 on cpu"):
        MobileSynthesis(small().double())
    with pytest.raises(ValueError, match=r"dtype is torch.float16"):
        MobileSynthesis(generator, torch.float16)
    with pytest.raises(ValueError, match=r"generator is a Linear"):
        MobileSynthesis(torch.nn.Linear(2, 2))
    for block, shape in ((3, (3, 32)), (1, (3, 31)), (1, (4, 32))):
        with pytest.raises(ValueError, match=r"head"):
            MobileSynthesis(generator, heads={block: ops.PreviewHead(torch.zeros(shape), torch.zeros(shape[0]))})


@needs_kernels
def test_kernels_by_name():
    generator = small()
    assert MACHINE[0] == "portable"
    assert MobileSynthesis(generator).kernels == [name for name in MACHINE if "bfloat16" not in name][-1]
    with pytest.raises(ValueError, match="expected 'auto' or one of"):
        MobileSynthesis(generator, kernels="sse9")
    with pytest.raises(BackendUnavailable, match=r"no 'portable' kernels for torch.bfloat16"):
        MobileSynthesis(generator, torch.bfloat16, kernels="portable")


@needs_kernels
def test_without_bfloat16_in_the_processor(monkeypatch):
    monkeypatch.setattr(mobilestylegan, "machine_kernels", lambda: ("portable", "avx2"))
    with pytest.raises(BackendUnavailable, match=r"no torch.bfloat16 products; it has portable, avx2"):
        MobileSynthesis(small(), torch.bfloat16)


@needs_kernels
def test_the_raw_operation_refuses_what_it_was_not_packed_for():
    generator = small()
    plan = MobileSynthesis(generator)
    call = torch.ops.stylerig.mobile_synthesis
    ws, picture = codes(generator)[0], torch.empty(32, 32, 3)
    for packed in (torch.zeros_like(plan._packed), plan._packed[:-16].clone(), plan._packed[:10].clone()):
        with pytest.raises(RuntimeError, match="not packed by this build"):
            call(ws, packed, plan._workspace, picture, -1)
    with pytest.raises(RuntimeError, match="ws is not contiguous or has an unexpected shape"):
        call(ws[:, :39], plan._packed, plan._workspace, picture, -1)
    with pytest.raises(RuntimeError, match="workspace is too small"):
        call(ws, plan._packed, plan._workspace[:1000].clone(), picture, -1)
    with pytest.raises(RuntimeError, match="no preview head behind block 1"):
        call(ws, plan._packed, plan._workspace, picture, 1)
    with pytest.raises(RuntimeError, match="cannot make a picture of 64 px"):
        call(ws, plan._packed, plan._workspace, torch.empty(64, 64, 3), -1)
    for dtype in (torch.float64, torch.int8):
        with pytest.raises(RuntimeError):
            call(ws, plan._packed, plan._workspace, picture.to(dtype), -1)


@needs_kernels
def test_opcheck():
    generator = small((16, 16))
    plan = MobileSynthesis(generator)
    arguments = (codes(generator)[0], plan._packed, plan._workspace, torch.empty(16, 16, 3), -1)
    # Gradients are refused in Python; what is in the workspace afterwards is nobody's business.
    torch.library.opcheck(
        torch.ops.stylerig.mobile_synthesis.default, arguments, test_utils=("test_schema", "test_faketensor")
    )


@pytest.fixture(scope="module")
def pretrained():
    try:
        return load_pretrained()
    except CheckpointError as error:
        pytest.skip(str(error))


@needs_kernels
@pytest.mark.parametrize("kernels", VARIANTS)
def test_pretrained_parity(pretrained, kernels):
    """The issue's bounds: at most 2/255 in float32, at least 40 dB in bfloat16."""
    ws = pretrained.sample(1, seed=5)
    plan = MobileSynthesis(pretrained, dtype_of(kernels), kernels=kernels)
    expected = pretrained.synthesis(ws)
    found = plan.synthesis(ws)
    if dtype_of(kernels) == torch.float32:
        assert (found - expected).abs().max() < 1e-4
    else:
        error = (found.clamp(-1, 1) - expected.clamp(-1, 1)).square().mean() / 4
        assert -10 * error.log10() > 50
    # In bfloat16 the means of the features are rounded once more.
    half = plan.synthesis(ws, 512)
    atol = 1e-5 if dtype_of(kernels) == torch.float32 else 1e-2
    torch.testing.assert_close(half, F.avg_pool2d(found, 2), atol=atol, rtol=0)


def test_without_the_library_plain_torch_runs(monkeypatch):
    monkeypatch.setattr(_library, "_library", _library.Library(problem="a test took it away", tried=True))
    monkeypatch.setattr(_library, "_noticed", set())
    generator = small()
    with pytest.warns(UserWarning, match="mobile_synthesis runs as plain torch"):
        plan = MobileSynthesis(generator)
    assert plan.kernels is None
    ws = codes(generator)
    torch.testing.assert_close(plan.synthesis(ws), generator.synthesis(ws), atol=1e-4, rtol=0)
    with pytest.raises(BackendUnavailable):
        MobileSynthesis(generator, impl="cpu")
