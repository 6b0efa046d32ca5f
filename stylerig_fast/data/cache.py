"""Decoded pictures of portrait shards, kept on disk: reading them is many times as fast as decoding WebP."""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from pathlib import Path

import numpy as np
import platformdirs

from stylerig_fast.atomic_files import write_atomically

_log = logging.getLogger(__name__)


class PictureCache:
    """Pictures by the content of their shard and their size; a changed shard is another entry."""

    def __init__(self, folder: Path | None = None) -> None:
        """Keeps entries in ``folder``, by default ``portraits`` in the user's cache folder."""
        self.folder = folder or Path(platformdirs.user_cache_dir("stylerig_fast", appauthor=False)) / "portraits"

    def entry(self, shard: Path, size: int) -> Path:
        """Where the pictures of ``shard`` at ``size`` px are, or would be."""
        with open(shard, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        return self.folder / f"{digest[:32]}-{size}.npz"

    def read(self, entry: Path) -> tuple[np.ndarray, int] | None:
        """The pictures ``(N, 3, size, size)`` and the width they are stored at, or None if they are not there."""
        try:
            # The zip inside has a checksum of each array, which is verified as it is read.
            with np.load(entry, allow_pickle=False) as file:
                return file["images"], int(file["stored"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            _log.warning("%s: damaged (%s); the pictures are decoded again", entry, error)
            return None

    def write(self, entry: Path, images: np.ndarray, stored: int) -> None:
        """Keeps pictures; a full or read-only disk is logged and otherwise makes no difference."""
        buffer = io.BytesIO()
        np.savez(buffer, images=images, stored=np.int64(stored))
        try:
            write_atomically(entry, buffer.getvalue())
        except OSError as error:
            _log.warning("%s: decoded pictures cannot be kept (%s)", entry, error)
