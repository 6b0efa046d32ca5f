"""Keeps what took minutes to build, and hands back only what this user's own process wrote.

A TensorRT plan is a program: whoever can write one into the cache runs code in the process that loads it. So plans lie
in a folder that only their owner may enter, each sealed with an HMAC under a key that only the owner may read, over its
content and over all that it was built for. What does not verify is not there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs

from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.engine.backends.graph_folder import read_regular
from stylerig_fast.errors import BackendUnavailable, CheckpointError

MAGIC = b"stylerig plan 1\n"
KEY_BYTES, SEAL_BYTES = 32, 32
MAX_BYTES = 4 << 30

_log = logging.getLogger(__name__)

# What a plan was built for: sha256 of the graph, versions, GPU, driver, precision, profile.
Label = Mapping[str, str]


class PlanCache:
    """A private folder of sealed files.

    Attributes:
        folder: where it is.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        """Opens the folder, and makes it if needed.

        Args:
            folder: by default ``tensorrt`` in the user's data folder.

        Raises:
            BackendUnavailable: others may enter the folder or read the key, or the folder cannot be made.
        """
        data = Path(platformdirs.user_data_dir("stylerig_fast", appauthor=False))
        self.folder = Path(folder) if folder else data / "tensorrt"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_private(self.folder, stat.S_ISDIR)
            self._key = self._read_key()
        except OSError as error:
            raise BackendUnavailable(f"{self.folder}: no place for TensorRT's plans ({error})") from error

    def get(self, label: Label, build: Callable[[], bytes]) -> bytes:
        """The content for a label: from the cache if it verifies, else built and kept."""
        content = self.read(label)
        if content is None:
            content = build()
            self.write(label, content)
        return content

    def read(self, label: Label) -> bytes | None:
        """What was written for exactly this label; None if nothing was, or if it does not verify."""
        path = self.path(label)
        if not path.exists() and not path.is_symlink():
            return None
        try:
            sealed = read_regular(path, MAX_BYTES)
        except CheckpointError as error:
            _log.warning("%s; building it again", error)
            return None
        head = len(MAGIC)
        seal, content = sealed[head : head + SEAL_BYTES], sealed[head + SEAL_BYTES :]
        if sealed[:head] != MAGIC or not hmac.compare_digest(seal, self._seal(label, content)):
            _log.warning("%s: the seal is not ours, so it is not loaded; building it again", path)
            return None
        return content

    def write(self, label: Label, content: bytes) -> None:
        """Seals the content and keeps it; where that fails, a notice is logged, since all still works without."""
        try:
            write_atomically(self.path(label), MAGIC + self._seal(label, content) + content)
            os.chmod(self.path(label), 0o600)
        except OSError as error:
            _log.warning("%s: cannot be kept (%s); the next start builds it again", self.path(label), error)

    def path(self, label: Label) -> Path:
        return self.folder / f"{hashlib.sha256(_text(label)).hexdigest()[:32]}.sealed"

    def _seal(self, label: Label, content: bytes) -> bytes:
        text = _text(label)
        digest = hmac.new(self._key, len(text).to_bytes(8, "little"), hashlib.sha256)
        digest.update(text)
        digest.update(content)
        return digest.digest()

    def _read_key(self) -> bytes:
        path = self.folder / "key"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(KEY_BYTES))
        _check_private(path, stat.S_ISREG)
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise BackendUnavailable(f"{path}: {len(key)} bytes, expected {KEY_BYTES}; delete it: plans are built anew")
        return key


def _text(label: Label) -> bytes:
    return json.dumps(dict(label), sort_keys=True).encode()


def _check_private(path: Path, kind: Callable[[int], bool]) -> None:
    """Raises BackendUnavailable unless ``path`` itself, no link, is of that kind and closed to everybody else."""
    status = path.lstat()
    if not kind(status.st_mode):
        raise BackendUnavailable(f"{path}: neither a file nor a folder of ours; move it away")
    if os.name != "posix":  # elsewhere the user's data folder is private by its access control list
        return
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise BackendUnavailable(
            f"{path}: owner {status.st_uid}, mode {stat.S_IMODE(status.st_mode):03o}; TensorRT's plans are programs, "
            f"and only user {os.geteuid()} may have access: chmod go-rwx it, or delete it"
        )
