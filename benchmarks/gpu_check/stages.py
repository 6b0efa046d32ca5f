"""The stages of a check, and the commands of their steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from . import store
from .config import PACKAGE, Setting

# The fewest samples that still tell percentiles, and parity of two people by two edits.
SHORT = "--samples 100 --rounds 5 --seconds 1.5 --people 2 --edits 2 --stages 5".split()
SMALL = "--samples 2 --rounds 1 --seconds 0.1 --people 1 --edits 1 --stages 1".split()


@dataclass(frozen=True)
class Step:
    """One process.

    Attributes:
        name: of its log, and of the file with its results.
        command: words.
        limit: seconds; 0 for what its stage has left.
        environment: added to the setting's.
        on_request: runs only where it is asked for by name.
    """

    name: str
    command: Sequence[str]
    limit: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    on_request: bool = False


@dataclass(frozen=True)
class Stage:
    """Steps that share a limit.

    Attributes:
        limit: seconds of all steps together.
        steps: of a setting.
        about: what it is for.
    """

    limit: float
    steps: Callable[[Setting], list[Step]]
    about: str


def _module(setting: Setting, name: str, *words: str, step: str = "", **options: object) -> Step:
    """A step that is a module of this folder, which writes its results to ``STEP.json``."""
    step = step or name
    command = [setting.python, "-m", f"{PACKAGE}.gpu_check.{name}", *words]
    command += ["--device", setting.device, "--json", str(setting.out / f"{step}.json")]
    command += ["--small"] if setting.small else []
    return Step(step, command, **options)  # type: ignore[arg-type]


def _bench(setting: Setting, name: str, limit: float, words: str, generator: str | None = None) -> Step:
    """A step that is a benchmark: ``stylerig-bench WORDS``."""
    command = [setting.python, "-m", PACKAGE, *words.split(), "--device", setting.device]
    command += ["--generator", generator] if generator else []
    return Step(name, [*command, "--json", str(setting.out / f"{name}.json")], limit)


def _store(setting: Setting) -> list[Step]:
    if setting.kit is None:
        return []
    # Not by the package's name: nothing of what the package imports need be there yet.
    command = [setting.python, "-m", "benchmarks.gpu_check.store", "--kit", str(setting.kit), "--store"]
    parts = store.Manifest.read(setting.kit / "common").parts
    return [Step(part.name, [*command, str(setting.store), part.name]) for part in parts]


def _probe(setting: Setting) -> list[Step]:
    return [_module(setting, "probe")]


def _build(setting: Setting) -> list[Step]:
    words = ["--library", str(setting.library), "--csrc", str(setting.tree / "csrc")]
    if setting.kit is not None:
        common = setting.kit / "common"
        same = store.Manifest.read(common).kernels == store.digest(setting.root, store.KERNELS)
        # A library of other sources would pass for that of these.
        words += ["--carried", str(common / "_kernels.so.xz")] if same else ["--outdated"]
    if setting.small:
        words += ["--generators", str(setting.store / "small")]
    # What an earlier call has put there may be what does not load.
    return [_module(setting, "build", *words, environment={"STYLERIG_KERNELS": ""})]


def _test(setting: Setting) -> list[Step]:
    # A first look at the files spares collecting a thousand tests; which tests run is up to the marker.
    files = [path for path in sorted(setting.tree.glob("tests/**/test_*.py")) if "mark.gpu" in path.read_text("utf-8")]
    command = [setting.python, "-m", "pytest", "-q", "-m", "gpu", "-o", "addopts=", "--import-mode=importlib"]
    command += ["-p", "no:cacheprovider", "--tb=short", "-rs", f"--junitxml={setting.out / 'test.xml'}"]
    return [Step("test", [*command, *(path.relative_to(setting.tree).as_posix() for path in files)])]


def _sanitize(setting: Setting) -> list[Step]:
    steps = []
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        step = _module(setting, "kernels", "--tool", tool, step=tool)
        watched = [
            *f"compute-sanitizer --tool {tool} --print-limit 20 --error-exitcode 9 --log-file".split(),
            str(setting.out / f"{tool}.txt"),
        ]
        # A dry run has no kernels to watch, but runs the same calls.
        command = [*watched, *step.command] if setting.device == "cuda" else step.command
        # Without torch's cache every tensor is an allocation of its own: reads beyond its end are seen.
        alone = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        steps.append(Step(tool, command, 90, alone, on_request=tool in ("initcheck", "synccheck")))
    return steps


def _ops(setting: Setting) -> list[Step]:
    if setting.small:
        return [_bench(setting, "ops-open", 60, "ops --batch 2 --size 32"), _module(setting, "convolutions")]
    return [
        _bench(setting, "ops-open", 45, "ops --size 128"),
        _bench(setting, "ops-dense", 45, "ops --model dense --size 224"),
        _module(setting, "convolutions", limit=45),
    ]


def _bench_stage(setting: Setting) -> list[Step]:
    dtypes = "float32" if setting.small else "float32 float16 bfloat16"
    dtype, batches = ("float32", "1") if setting.small else ("float32 float16", "1 4 16")
    backends = "torch" if setting.device == "cpu" else "torch cuda_graph"
    graph = backends.split()[-1]
    edit = f"edit --backends {backends} --peers eager --dtype {dtypes}"
    batch = f"batch --backends {graph} --peers eager --dtype {dtype} --batches {batches}"
    full, both = ("32", "32") if setting.small else ("1024", "1024 256")
    short = " ".join(SMALL if setting.small else SHORT)
    return [
        _bench(setting, "edit-mobile", 80, f"{edit} --resolutions {both} {short}", setting.generator),
        _bench(setting, "edit-stylegan2", 60, f"{edit} --resolutions {full} {short}", setting.stylegan2),
        _bench(setting, "batch-mobile", 50, batch, setting.generator),
        _bench(setting, "batch-stylegan2", 60, batch, setting.stylegan2),
    ]


def _tensorrt(setting: Setting) -> list[Step]:
    dtype = "float32" if setting.small else "float32 float16"
    short = " ".join(SMALL if setting.small else SHORT)
    size = "32" if setting.small else "1024"
    backends = "torch" if setting.device == "cpu" else "tensorrt"
    words = f"edit --backends {backends} --peers eager --dtype {dtype} --resolutions {size} {short}"
    generator = ["--generator", setting.generator] if setting.generator else []
    return [
        _module(setting, "tensorrt", *generator, limit=90),
        _bench(setting, "edit-tensorrt", 90, words, setting.generator),
    ]


def _train(setting: Setting) -> list[Step]:
    small = " --samples 1 --rounds 1 --portraits 8 --pixels 32 --slots 4 --components 40" if setting.small else ""
    generator = ["--generator", setting.generator] if setting.generator else []
    return [
        _bench(setting, "train", 45, f"train --seconds {0.1 if setting.small else 3}{small}"),
        _module(setting, "rates", *generator),
    ]


STAGES: dict[str, Stage] = {
    "store": Stage(60, _store, "keeps a part of a kit, and unpacks what is complete; store:1, store:2, ..."),
    "probe": Stage(30, _probe, "what the machine is, its copy bandwidth and matrix rates"),
    "build": Stage(150, _build, "loads the compiled operations or compiles them, and looks at a few answers"),
    "test": Stage(120, _test, "the tests marked `gpu`"),
    "sanitize": Stage(180, _sanitize, "compute-sanitizer over every kernel: memcheck, racecheck"),
    "ops": Stage(120, _ops, "times of the operations and of convolutions, from CUDA graphs"),
    "bench": Stage(250, _bench_stage, "stylerig-bench edit and batch"),
    "tensorrt": Stage(150, _tensorrt, "whether TensorRT for RTX takes this GPU; edits through it"),
    "train": Stage(90, _train, "training steps, and how long 200,000 portraits take"),
}
