"""Looking at pictures beside rendering them: the analyzer in processes of its own, so that both cores work.

dlib holds Python's lock while it computes, so threads would not help. Pictures and observations travel as NumPy
arrays: torch's own way of sharing tensors keeps a file open for each.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.measurement.analyzer import FaceAnalyzer, Measurements
from stylerig_fast.measurement.expression import FaceMeasures


class PictureAnalyzer(Protocol):
    """Looks at batches of pictures, now or later."""

    def submit(self, images: Tensor) -> Callable[[], Measurements]:
        """Starts to look at ``(B, H, H, 3)`` uint8; calling the result waits for what was seen."""
        ...


class InlineAnalyzer:
    """Looks at once, in this process."""

    def __init__(self, analyzer: FaceAnalyzer) -> None:
        self.analyzer = analyzer

    def submit(self, images: Tensor) -> Callable[[], Measurements]:
        seen = self.analyzer.analyze(images)
        return lambda: seen


class ProcessPoolAnalyzer:
    """Looks in child processes, each with a `FaceAnalyzer` of its own.

    Within its context this process leaves each of them a core: torch's threads wait for the slowest one, so that a
    picture takes a third longer to make and look at where both want the same core.

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
        future: Future[dict[str, Any]] = self.pool.submit(_look, images.cpu().numpy())
        return lambda: _unpacked(future.result())


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


def _look(images: np.ndarray) -> dict[str, Any]:
    assert _analyzer is not None
    return _packed(_analyzer.analyze(torch.from_numpy(images)))


def _packed(seen: Measurements) -> dict[str, Any]:
    measures = {field.name: getattr(seen.measures, field.name).numpy() for field in fields(FaceMeasures)}
    names = [field.name for field in fields(Measurements) if field.name not in ("measures", "features")]
    parts = {name: getattr(seen, name).numpy() for name in names}
    return {**parts, "measures": measures, "features": {name: value.numpy() for name, value in seen.features.items()}}


def _unpacked(parts: dict[str, Any]) -> Measurements:
    def tensors(values: dict[str, np.ndarray]) -> dict[str, Tensor]:
        return {name: torch.from_numpy(value) for name, value in values.items()}

    measures, features = tensors(parts.pop("measures")), tensors(parts.pop("features"))
    return Measurements(**tensors(parts), measures=FaceMeasures(**measures), features=features)
