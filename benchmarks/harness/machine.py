"""The machine that was measured: hardware, versions, and what other processes did on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import stylerig_fast

# Instruction sets that matter for these networks.
FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "sve", "bf16")
PACKAGES = ("torch", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "triton")
# Cores that other processes may keep busy before a report warns of it.
BUSY = 0.1


def describe(device: torch.device) -> dict[str, Any]:
    """Hardware and versions, ready for JSON."""
    described: dict[str, Any] = {
        "cpu": processor_name(),
        "flags": [
            flag for flag in FLAGS if flag in _cpu_fields().get("flags", _cpu_fields().get("features", "")).split()
        ],
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory GB": round(_memory() / 1e9, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "stylerig_fast": stylerig_fast.__version__,
        "commit": commit(),
        "torch CPU capability": torch.backends.cpu.get_cpu_capability(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        described["gpu"] = {
            "name": properties.name,
            "memory GB": round(properties.total_memory / 1e9, 1),
            "compute capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "CUDA": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
            "driver": _driver(),
        }
    return described


def one_line(setting: Mapping[str, Any]) -> str:
    """The hardware and versions of `describe` in one line."""
    parts = [f"{setting['cpu']}, {setting['cores']} cores, {setting['threads']} threads"]
    if flags := setting["flags"]:
        parts[0] += f" ({', '.join(map(str, flags))})"
    if gpu := setting.get("gpu"):
        parts.append(f"{gpu['name']}, {gpu['memory GB']} GB, driver {gpu['driver']}, CUDA {gpu['CUDA']}")
    parts.append(f"{setting['memory GB']} GB of memory; {setting['system']}, Python {setting['python']}")
    parts.append(", ".join(f"{name} {version}" for name, version in setting["versions"].items()))
    parts.append(
        f"stylerig_fast {setting['stylerig_fast']}, commit {setting['commit'] or 'unknown'}; {setting['date']}"
    )
    return "; ".join(parts)


def processor_name() -> str:
    """The name of the CPU."""
    return _cpu_fields().get("model name") or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit() -> str:
    """The commit of this package, with ``+`` if files have been changed since; empty outside a git checkout.

    ``STYLERIG_COMMIT`` takes precedence: it is set where sources were copied without their history.
    """
    if known := os.environ.get("STYLERIG_COMMIT"):
        return known
    here = Path(stylerig_fast.__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        # A checkout of another project may lie around the installed package.
        if not head or not git("ls-files", "__init__.py"):
            return ""
        return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.TimeoutExpired):
        return ""


@dataclass
class CpuLoad:
    """CPU time that other processes took before, during and after a run.

    Attributes:
        average: load average at the start, over 1, 5 and 15 minutes.
        before: cores that other processes kept busy in the second before the run; None where /proc does not tell.
        during: during the run.
        after: in the second after it.
        stolen: cores that the hypervisor gave to other machines during the run.
    """

    average: tuple[float, ...] = ()
    before: float | None = None
    during: float | None = None
    after: float | None = None
    stolen: float | None = None
    _start: _Reading | None = field(default=None, repr=False)

    def begin(self, pause: float = 1.0) -> CpuLoad:
        """Measures for ``pause`` seconds, then starts the run."""
        self.average = tuple(round(value, 2) for value in os.getloadavg()) if hasattr(os, "getloadavg") else ()
        self.before = _others(pause)
        self._start = _Reading.take()
        return self

    def end(self, pause: float = 1.0) -> CpuLoad:
        """Ends the run, then measures for ``pause`` seconds."""
        now = _Reading.take()
        if self._start is not None and now is not None:
            self.during, self.stolen = now.others_since(self._start), now.stolen_since(self._start)
        self.after = _others(pause)
        return self

    def as_dict(self) -> dict[str, object]:
        """The fields and the warning, ready for JSON."""
        names = ("average", "before", "during", "after", "stolen")
        return {name: getattr(self, name) for name in names} | {"warning": self.warning()}

    def warning(self) -> str:
        """A sentence if other processes were busy, else empty."""
        known = {"before": self.before, "during": self.during, "after": self.after}
        loud = [f"{value:.2f} cores {when}" for when, value in known.items() if value is not None and value > BUSY]
        if self.stolen is not None and self.stolen > BUSY:
            loud.append(f"{self.stolen:.2f} cores taken by the hypervisor")
        if not loud:
            return ""
        return f"other processes were busy ({', '.join(loud)} the run): these times are not reliable"


@dataclass(frozen=True)
class _Reading:
    """CPU seconds of all processes, of this process with its children, and stolen ones, since the system started."""

    at: float
    busy: float
    stolen: float
    this_process: float

    @staticmethod
    def take() -> _Reading | None:
        try:
            fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        except OSError:
            return None
        ticks = [float(value) / os.sysconf("SC_CLK_TCK") for value in fields]
        user, nice, system, _, _, interrupts, soft, stolen = ticks[:8]
        times = os.times()
        this_process = times.user + times.system + times.children_user + times.children_system
        return _Reading(time.monotonic(), user + nice + system + interrupts + soft, stolen, this_process)

    def others_since(self, start: _Reading) -> float:
        """Cores that other processes kept busy, on average."""
        spent = (self.busy - start.busy) - (self.this_process - start.this_process)
        return round(max(0.0, spent / max(self.at - start.at, 1e-9)), 3)

    def stolen_since(self, start: _Reading) -> float:
        return round((self.stolen - start.stolen) / max(self.at - start.at, 1e-9), 3)


def _others(pause: float) -> float | None:
    first = _Reading.take()
    if first is None or pause <= 0:
        return None
    time.sleep(pause)
    second = _Reading.take()
    return None if second is None else second.others_since(first)


def _cpu_fields() -> dict[str, str]:
    """The fields of the first processor in /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def _version(package: str) -> str | None:
    if package == "torch":
        return torch.__version__  # with the build (+cpu, +cu130), which the package's metadata leave out
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else "unknown"
