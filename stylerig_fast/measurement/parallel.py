"""Measures pictures while others are rendered: the analyzer in processes of its own, so that both cores work.

dlib holds Python's lock while it computes, so threads would not help. Pictures and measurements travel as NumPy
arrays: torch's own way of sharing tensors keeps a file open for each.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.measurements import Measurements


class PictureAnalyzer(Protocol):
    """Measures batches of pictures, now or later."""

    def submit(self, images: Tensor) -> Callable[[], Measurements]:
        """Starts to measure pictures ``(B, H, H, 3)`` uint8; calling the result waits for the measurements."""
        ...


class InlineAnalyzer:
    """Measures at once, in this process."""

    def __init__(self, analyzer: FaceAnalyzer) -> None:
        self.analyzer = analyzer

    def submit(self, images: Tensor) -> Callable[[], Measurements]:
        """As `PictureAnalyzer.submit`; measured before this returns."""
        measurements = self.analyzer.analyze(images)
        return lambda: measurements


class ProcessPoolAnalyzer:
    """Measures in child processes, each with a `FaceAnalyzer` of its own.

    Within its context this process leaves each of them a core: torch's threads wait for the slowest one, so that a
    picture takes a third longer to make and measure where both want the same core.

    Args:
        build: makes the analyzer; a function of a module, called in each child with ``arguments``.
        arguments: of ``build``; they must survive being sent to another process.
        processes: how many children.
    """

    def __init__(self, build: Callable[..., FaceAnalyzer], arguments: tuple[Any, ...], processes: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(build, arguments))
        self.processes, self.threads = processes, torch.get_num_threads()

    def __enter__(self) -> ProcessPoolAnalyzer:
        torch.set_num_threads(max(1, self.threads - self.processes))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.set_num_threads(self.threads)
        self.pool.shutdown(cancel_futures=True)

    def submit(self, images: Tensor) -> Callable[[], Measurements]:
        """As `PictureAnalyzer.submit`; measured by another process in the meantime."""
        future: Future[Measurements] = self.pool.submit(_analyze, images.cpu().numpy())
        return lambda: future.result().map(torch.from_numpy)


@contextmanager
def analyzing_beside(model: FaceModel, camera: Camera) -> Iterator[tuple[FaceAnalyzer, PictureAnalyzer]]:
    """The analyzer of this process, and a second process that measures pictures while this one renders."""
    model = model.to("cpu")
    with ProcessPoolAnalyzer(FaceAnalyzer, (model, camera)) as pool:
        yield FaceAnalyzer(model, camera), pool


_analyzer: FaceAnalyzer | None = None


def _begin(build: Callable[..., FaceAnalyzer], arguments: tuple[Any, ...]) -> None:
    global _analyzer
    torch.set_num_threads(1)
    _analyzer = build(*arguments)


def _analyze(images: np.ndarray) -> Measurements:
    assert _analyzer is not None
    return _analyzer.analyze(torch.from_numpy(images)).map(Tensor.numpy)
