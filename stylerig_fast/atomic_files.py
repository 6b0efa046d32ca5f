"""Files that are there whole or not at all, one alone or several that belong together: also after a crash.

A process may be killed, a disk be full, a machine lose its power, at any moment.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def write_atomically(path: Path, content: bytes) -> None:
    """Writes ``path`` whole or not at all, also when the process is killed or the machine stops.

    What a killed process left of the same file is removed.

    Args:
        path: its folder is created if needed.
        content: all of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(path.parent, glob.escape(path.name))
    temporary = _write_temporary(path, content)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_together(
    folder: Path, files: Iterable[tuple[str, bytes]], head: str, describe: Callable[[dict[str, str]], bytes]
) -> dict[str, str]:
    """Replaces several files of a folder at once: readers find all of the old ones or all of the new ones.

    Each file waits under a name made of its sha256. Renaming the head, which names the sums, is what makes them valid;
    only then do they get their own names. `read_member` finds them under either.

    Args:
        folder: created if needed; one process at a time writes there, others wait.
        files: names and contents, made one after the other.
        head: name of the file that holds the sums.
        describe: from sha256 by name to the head's content.

    Returns:
        sha256 by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        sums: dict[str, str] = {}
        made: list[Path] = []
        try:
            for name, content in files:
                sums[name] = hashlib.sha256(content).hexdigest()
                waiting = _waiting(folder, name, sums[name])
                if not waiting.exists():  # else it is what the present head names, after a crash
                    made.append(waiting)
                write_atomically(waiting, content)
            write_atomically(folder / head, describe(sums))
        except BaseException:
            for waiting in made:
                waiting.unlink(missing_ok=True)
            raise
        for name, digest in sums.items():
            os.replace(_waiting(folder, name, digest), folder / name)
        _sync_folder(folder)
        for name in sums:
            for left in folder.glob(f".{name}.*.waiting"):
                left.unlink(missing_ok=True)
            _remove_unfinished(folder, f".{name}.*.waiting")
    return sums


def read_member(folder: Path, name: str, sha256: str, read: Callable[[Path], bytes] = Path.read_bytes) -> bytes:
    """The content of a file that `write_together` wrote, the one with this sum if it is there.

    Args:
        folder: where it is.
        name: of the file.
        sha256: what the folder's head says of it.
        read: how one file is read.

    Returns:
        A content with another sum where there is none with this: for the caller to refuse.
    """
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        return read(folder / name)
    waiting = _waiting(folder, name, sha256)
    # First the one that waits: while it is there, the file of that name is the one before it.
    return read(waiting if waiting.is_file() else folder / name)


def _waiting(folder: Path, name: str, sha256: str) -> Path:
    return folder / f".{name}.{sha256[:16]}.waiting"


def _write_temporary(path: Path, content: bytes) -> Path:
    """A file beside ``path`` with this content, on the disk; locked while it is written, see `_remove_unfinished`."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                _lock(file.fileno())
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(temporary, 0o644)
            return temporary
        except FileNotFoundError:
            continue  # taken for a leftover before it was locked
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _remove_unfinished(folder: Path, names: str) -> None:
    """Removes what killed processes left of files whose names fit a pattern: whoever still writes holds a lock."""
    if fcntl is None:
        return
    for left in folder.glob(f".{names}.*.tmp"):
        with contextlib.suppress(OSError), open(left, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the lock is on the folder itself, so that nothing is left behind."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    # Not every file system knows locks; without them two writers at a time are not told apart, as on Windows.
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)


def _sync_folder(folder: Path) -> None:
    """Makes renames last through a power cut, where folders can be opened for that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
