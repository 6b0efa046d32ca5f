"""Stage ``sample``: makes a portrait set with a generator."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stylerig_fast.data.sampling import Detector, SetConfig, sample_set
from stylerig_fast.generators import Generator, open_generator
from stylerig_fast.measurement.landmarks import LandmarkDetector, Landmarks


@dataclass(frozen=True)
class SampleConfig:
    """Make a portrait set: random codes, their pictures, the landmarks in those. Started again, it goes on."""

    out: Path  # folder for the shards and sample.json
    count: int = 10_000  # portraits in all; the last shard is the one that training holds out
    shard_size: int = 1_000  # portraits per shard
    size: int = 256  # width and height of the stored pictures in pixels, a power of two
    psi: tuple[float, float] = (0.5, 1.0)  # truncation: drawn uniformly between these for each code
    generator: str = "mobilestylegan-ffhq"  # name of a pretrained generator, or a folder of a converted one
    boxes: int = 5  # landmark predictions averaged per face, 1 to 5; 1 is dlib as it comes, and noisier
    batch: int = 4  # pictures made at a time; no effect on the result
    seed: int = 0  # of all codes
    device: str = "cpu"  # of the generator: cpu or cuda
    threads: int = 0  # CPU threads; 0 leaves torch's default
    workers: int = 0  # processes that find landmarks (30 ms a picture), to keep up with a GPU; 0 finds them in this one


def run(config: SampleConfig, generator: Generator | None = None, detector: Detector | None = None) -> list[Path]:
    """Makes the set; returns its shards.

    Args:
        config: see there.
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
    columns = (
        TextColumn("sampling portraits"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with _detector(config, detector) as found, Progress(*columns) as bar:
        task = bar.add_task("portraits", total=config.count)
        return sample_set(config.out, content, generator, found, config.batch, lambda n: bar.advance(task, n))


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
            yield _Workers(pool, config.workers)


class _Workers:
    """A detector that deals a batch out to processes."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self.pool, self.count = pool, count

    def detect(self, images: np.ndarray) -> Landmarks:
        parts = [part for part in np.array_split(images, self.count) if len(part)]
        found = list(self.pool.map(_find, parts))
        return Landmarks(torch.cat([item.points for item in found]), torch.cat([item.detected for item in found]))


_worker: list[LandmarkDetector] = []


def _start_worker(boxes: int) -> None:
    # An interrupt is for the main process: it stops the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _worker.append(LandmarkDetector(boxes))


def _find(images: np.ndarray) -> Landmarks:
    return _worker[0].detect(images)
