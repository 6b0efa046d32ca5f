"""Multiply-adds against closed forms, against a network counted by hand, and against torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness.flops import MultiplyAddCounter, NetworkCost, rig_cost, synthesis_cost
from stylerig_fast.generators import MobileStyleGAN
from stylerig_fast.generators.mobilestylegan import CHANNELS
from stylerig_fast.generators.stylegan1 import StyleGAN1
from stylerig_fast.generators.stylegan2 import CONFIG_F, StyleGAN2
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from stylerig_fast.rignet import RigConfig, build


def untrained(kind, **arguments):
    with torch.device("meta"):
        return kind(**arguments)


def counted(function, *inputs, watched=()):
    with torch.no_grad(), MultiplyAddCounter(watched=watched) as counter:
        function(*inputs)
    return counter.cost(0, 0)


def test_a_small_network_counted_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),  # 10 x 6 -> 5 x 3
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 4, 1),
        nn.ConvTranspose2d(4, 2, 4, stride=2),  # at 5 x 3
        nn.Flatten(),
        nn.Linear(2 * 12 * 8, 7),
    )
    cost = counted(network, torch.zeros(2, 3, 10, 6), watched=list(network.parameters()))
    pixels = 2 * 5 * 3
    assert cost.multiply_adds == {
        "convolution": pixels * (3 * 8 * 9 + 8 * 4 + 4 * 2 * 16),
        "depthwise": pixels * 8 * 9,
        "matrix": 2 * 192 * 7,
    }
    assert cost.weights == 4 * sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("dilation", [1, 2])
def test_dilated_and_grouped_convolutions(dilation):
    x, weight = torch.zeros(1, 8, 9, 9), torch.zeros(6, 4, 3, 3)
    cost = counted(lambda: F.conv2d(x, weight, groups=2, dilation=dilation))
    side = 9 - 2 * dilation
    assert cost.multiply_adds == {"convolution": side * side * 6 * 4 * 9}


def test_products_of_matrices():
    a, b, c = torch.zeros(5, 3), torch.zeros(3, 4), torch.zeros(2, 5, 3)
    assert counted(lambda: a @ b).total == 5 * 3 * 4
    assert counted(lambda: c @ b).total == 2 * 5 * 3 * 4
    assert counted(lambda: torch.bmm(c, c.mT)).total == 2 * 5 * 3 * 5
    assert counted(lambda: torch.einsum("bik,bjk->bij", c, c)).total == 2 * 5 * 3 * 5
    assert counted(lambda: a + 1).total == 0


def test_mobilestylegan_against_its_closed_form():
    first, *others = CHANNELS
    depthwise = matrix = 0
    below, side = first, 4
    for above in others:
        side *= 2
        depthwise += side**2 * 9 * (below // 4 + above)
        matrix += side**2 * (below // 4 * above + above**2)
        matrix += 512 * (below + below // 4 + above)  # modulation
        below = above
    matrix += side**2 * below * 12 + 512 * below + 512 * first
    cost = synthesis_cost(untrained(MobileStyleGAN), 1024)
    assert cost.multiply_adds == {"convolution": 16 * 9 * first**2, "depthwise": depthwise, "matrix": matrix}
    assert 7.2e9 < cost.total < 7.3e9


def test_stylegan2_config_f_is_what_is_published():
    side, below, convolution = 4, CONFIG_F[0], 0
    for index, above in enumerate(CONFIG_F):
        if index:
            convolution += 9 * below * above * side**2  # transposed: at its input size
            side *= 2
        convolution += 9 * above**2 * side**2 + 3 * above * side**2
        below = above
    cost = synthesis_cost(untrained(StyleGAN2), 1024)
    assert cost.multiply_adds["convolution"] == convolution
    assert convolution == pytest.approx(74.3e9, rel=1e-3)
    # The low-pass filters behind what doubles a resolution come on top.
    assert 0.9e9 < cost.multiply_adds["depthwise"] < 1.2e9


@pytest.mark.parametrize("kind", [MobileStyleGAN, StyleGAN1, StyleGAN2])
def test_torchs_own_counter_agrees(kind):
    generator = untrained(kind, channels=(16, 16, 8, 8), mapping_layers=1)
    ws = torch.empty(3, generator.num_ws, 512, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        generator.synthesis(ws)
    assert 2 * synthesis_cost(generator, generator.resolution, 3).total == theirs.get_total_flops()


def test_work_does_not_depend_on_the_strips_of_the_cpu():
    generator = MobileStyleGAN(channels=(16, 16, 8, 8), mapping_layers=1)
    generator.strip_bytes = 1000
    strips = counted(generator.synthesis, torch.zeros(1, generator.num_ws, 512))
    assert strips.total > synthesis_cost(generator, 64).total  # rows at the cuts are computed twice
    assert synthesis_cost(generator, 64) == synthesis_cost(
        untrained(MobileStyleGAN, channels=(16, 16, 8, 8), mapping_layers=1), 64
    )


def test_weights_are_read_once_and_the_mapping_network_not_at_all():
    generator = MobileStyleGAN(channels=(16, 8, 8), mapping_layers=2)
    state = {name: v for name, v in generator.state_dict().items() if "mapping" not in name and name != "w_mean"}
    one, four = (synthesis_cost(generator, 32, batch) for batch in (1, 4))
    assert one.weights == four.weights == sum(value.nbytes for value in state.values())
    assert (one.inputs, one.outputs) == (6 * 512 * 4, 32 * 32 * 3)
    assert one.times(4) == four
    assert one.with_weights_of(2).weights == one.weights // 2


def test_the_rig():
    sizes = {"identity": 5, "albedo": 4, "expression": 3, "illumination": 27, "rotation": 3, "translation": 3}
    width, columns = sum(sizes.values()), 3 + 27 + 3
    reconstructor = FaceReconstructor(ReconstructorConfig(2, sizes, ("a", "b", "c"), hidden=16))
    rig = build(RigConfig(2, sizes, components=8, rank=2))
    cost = rig_cost(reconstructor, rig)
    seeing = 1024 * 16 + 16 * 16 + 16 * width
    # The request and the squares of its turns; the person is the code and what F sees.
    rigging = 2 * 1024 * 8 + (columns + 3) * 8 + (columns + 3) * 2 + (8 + width) * 2 + 2 * 8
    assert cost == NetworkCost({"matrix": seeing + rigging}, cost.weights, 1024 * 4 + width * 4, 1024 * 4)
    assert next(reconstructor.parameters()).device.type == "cpu"
