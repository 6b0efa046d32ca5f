"""Stage ``sample``: makes a portrait set with a generator."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress

from stylerig_fast.data.sampling import Detector, SetConfig, sample_set
from stylerig_fast.generators import Generator, open_generator
from stylerig_fast.measurement.landmarks import LandmarkDetector, Landmarks
from stylerig_fast.train.config import SampleConfig
from stylerig_fast.train.loop import progress_columns


def run(config: SampleConfig, generator: Generator | None = None, detector: Detector | None = None) -> list[Path]:
    """Makes the set; returns its shards.

    Args:
        config: of the set.
        generator: instead of the pretrained one.
        detector: instead of dlib.

    Raises:
        CheckpointError: the generator's weights are missing or damaged.
        BackendUnavailable: dlib or its weights are missing.
        DataError: the folder holds a set made with other settings.
        ValueError: a setting is out of range.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    generator = generator or open_generator(config.generator, config.device)
    content = SetConfig(
        generator=generator.name,
        generator_sha256=generator.fingerprint(),
        count=config.count,
        shard_size=config.shard_size,
        size=config.size,
        psi=config.psi,
        seed=config.seed,
        landmarks=type(detector).__name__ if detector else f"dlib 68, mean of {config.boxes}",
    )
    with _detector(config, detector) as opened, Progress(*progress_columns()) as bar:
        task = bar.add_task("sampling portraits", total=config.count)
        return sample_set(config.out, content, generator, opened, config.batch, lambda n: bar.advance(task, n))


@contextmanager
def _detector(config: SampleConfig, given: Detector | None) -> Iterator[Detector]:
    if given is not None:
        yield given
    elif config.workers < 1:
        yield LandmarkDetector(config.boxes)
    else:
        # Spawned: a fork would inherit CUDA, which does not survive it.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(config.workers, context, _start_worker, (config.boxes,)) as pool:
            yield _ParallelDetector(pool, config.workers)


class _ParallelDetector:
    """A detector that splits each batch over worker processes."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self.pool, self.count = pool, count

    def detect(self, images: np.ndarray) -> Landmarks:
        parts = [part for part in np.array_split(images, self.count) if len(part)]
        landmarks = list(self.pool.map(_detect, parts))
        return Landmarks(
            torch.cat([each.points for each in landmarks]), torch.cat([each.detected for each in landmarks])
        )


# The detector of a worker process.
_worker: list[LandmarkDetector] = []


def _start_worker(boxes: int) -> None:
    # An interrupt is handled by the main process, which stops the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _worker.append(LandmarkDetector(boxes))


def _detect(images: np.ndarray) -> Landmarks:
    return _worker[0].detect(images)
