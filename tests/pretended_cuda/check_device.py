"""Run on the pretended device by test_pretended_cuda.py: the device itself refuses and counts what it should."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from .waits import Refused, counted


def on_device(*shape: int) -> Tensor:
    return torch.rand(shape).to("cuda")


def test_tensors_say_where_they_are() -> None:
    value = on_device(3)
    assert value.is_cuda and str(value.device) == "cuda:0" and value.cpu().device.type == "cpu"
    assert torch.nn.Linear(2, 2).cuda().weight.is_cuda
    assert torch.zeros(2, device="cuda").is_cuda and (value + 1).is_cuda and value[None].is_cuda
    made = []
    thread = threading.Thread(target=lambda: made.append(torch.zeros(2, device="cuda")))
    thread.start()
    thread.join()
    assert made[0].is_cuda


@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.cat([x, torch.ones(3)]),
        lambda x: torch.cat([x[0][None], torch.ones(())[None]]),
        lambda x: torch.ones(3)[x.long()],
        lambda x: torch.nn.functional.linear(x, torch.ones(3, 3)),
        lambda x: torch.rand(3, generator=torch.Generator(), device="cuda"),
    ],
)
def test_devices_do_not_mix(mistake: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(RuntimeError, match="device"):
        mistake(on_device(3))


# What waits on a GPU, and why.
WAITING: list[tuple[str, Callable[[Tensor], object]]] = [
    ("_local_scalar_dense", lambda x: x.sum().item()),
    ("_local_scalar_dense", lambda x: bool((x > 2).any())),
    ("device to host", lambda x: x.cpu()),
    ("host to device", lambda x: x.new_tensor([1.0, 2.0])),
    ("host to device", lambda x: x[:, [0, 1]]),
    ("boolean index", lambda x: x[x > 0.5]),
    ("nonzero", lambda x: x.nonzero()),
    ("index", lambda x: x[torch.arange(2)]),
    ("equal", lambda x: torch.equal(x, x)),
    ("synchronize", lambda x: torch.cuda.synchronize()),
    ("stream.synchronize", lambda x: torch.cuda.current_stream().synchronize()),
    ("host to device, pageable", lambda x: x.copy_(torch.ones(3, 3), non_blocking=True)),
]


@pytest.mark.parametrize(("why", "wait"), WAITING)
def test_waits_are_counted_and_a_capture_refuses_them(why: str, wait: Callable[[Tensor], object]) -> None:
    value = on_device(3, 3)
    with counted() as waits:
        wait(value)
    assert len(waits) == 1, waits
    (line,) = waits
    assert line.startswith("tests/pretended_cuda/check_device.py: ") and line.endswith(f"({why})")
    with pytest.raises(Refused, match="when stream is capturing"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        wait(value)


def test_what_does_not_wait() -> None:
    value, page_locked = on_device(3, 3), torch.ones(3, 3).pin_memory()
    assert page_locked.is_pinned() and page_locked[1:].is_pinned() and not torch.ones(3).is_pinned()
    assert torch.empty(2, pin_memory=True).is_pinned()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with counted() as waits:
            value.copy_(page_locked, non_blocking=True)
            value[:, 1:].mul_(2).fill_(3)
            torch.where(value > 1, value, 0.0)
            torch.rand(3, device="cuda")[torch.arange(2, device="cuda")]
            assert value.to("cpu", non_blocking=True).is_pinned()
        with pytest.raises(Refused, match="synchronizing"):
            value.sum().item()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not waits


def test_copies_that_nobody_waited_for_are_let_alone() -> None:
    value, page_locked = on_device(3), torch.ones(3).pin_memory()
    value.copy_(page_locked, non_blocking=True)
    assert page_locked.sum() == 3, "what leaves may be read"
    with pytest.raises(Refused, match="written to before"):
        page_locked[:2].fill_(2)
    with pytest.raises(Refused, match="written to before"):
        page_locked.numpy()
    torch.cuda.synchronize()
    page_locked.fill_(2)
    page_locked.copy_(value, non_blocking=True)
    with pytest.raises(Refused, match="used before"):
        page_locked.sum()
    arriving = value.to("cpu", non_blocking=True)
    with pytest.raises(Refused, match="used before"):
        arriving.numpy()
    torch.cuda.current_stream().synchronize()
    assert page_locked.sum() == 3 and arriving.numpy().sum() == 3


def test_waits_of_a_backward_pass_are_found() -> None:
    value, mask = on_device(4).requires_grad_(), torch.tensor([True, False, True, False]).cuda()
    chosen = value[mask].sum()
    with counted() as waits:
        chosen.backward()
    assert sum("IndexBackward" in line and "boolean index" in line for line in waits) == 1, waits


def test_a_capture_does_nothing_and_a_replay_does_it_again() -> None:
    given, total = torch.ones(3, device="cuda"), torch.zeros(3, device="cuda")
    weight = torch.full((3,), 2.0, device="cuda", requires_grad=True)
    number = torch.tensor(10.0)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        total.add_(given)
        result = given * number
        (given * weight.square()).sum().backward()
    assert total.tolist() == [0, 0, 0]
    assert bool(result.isnan().all()), "what a capture made holds nothing before the first replay"
    number.fill_(20.0)
    given.fill_(3.0)
    for _ in range(2):
        graph.replay()
    assert total.tolist() == [6, 6, 6]
    assert result.tolist() == [30, 30, 30], "a number on the CPU is that of the capture"
    assert weight.grad is not None and weight.grad.tolist() == [12, 12, 12]
