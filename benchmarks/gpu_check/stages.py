"""The stages of a check, and the commands of their steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from . import store
from .config import PACKAGE, CheckConfig

# The fewest samples that still give percentiles, and parity on two edits of two people.
SHORT = "--samples 100 --rounds 5 --seconds 1.5 --people 2 --edits 2 --stages 5".split()
SMALL = "--samples 2 --rounds 1 --seconds 0.1 --people 1 --edits 1 --stages 1".split()


@dataclass(frozen=True)
class CheckStep:
    """One process of a stage.

    Attributes:
        name: of the step, of its log, and of the file with its results.
        command: program and arguments.
        limit: seconds; 0 for the time that its stage has left.
        environment: added to that of `CheckConfig`.
        on_request: whether it runs only if it is named.
    """

    name: str
    command: Sequence[str]
    limit: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    on_request: bool = False


@dataclass(frozen=True)
class CheckStage:
    """Steps that share a limit.

    Attributes:
        limit: seconds of all steps together.
        steps: makes the steps of a configuration.
        about: one line for the help.
    """

    limit: float
    steps: Callable[[CheckConfig], list[CheckStep]]
    about: str


def _module(config: CheckConfig, name: str, *words: str, step: str = "", **options: object) -> CheckStep:
    """A step that is a module of this folder, which writes its results to ``STEP.json``."""
    step = step or name
    command = [config.python, "-m", f"{PACKAGE}.gpu_check.{name}", *words]
    command += ["--device", config.device, "--json", str(config.out / f"{step}.json")]
    command += ["--small"] if config.small else []
    return CheckStep(step, command, **options)  # type: ignore[arg-type]


def _bench(config: CheckConfig, name: str, limit: float, words: str, generator: str | None = None) -> CheckStep:
    """A step that is a benchmark: ``stylerig-bench WORDS``."""
    command = [config.python, "-m", PACKAGE, *words.split(), "--device", config.device]
    command += ["--generator", generator] if generator else []
    return CheckStep(name, [*command, "--json", str(config.out / f"{name}.json")], limit)


def _store(config: CheckConfig) -> list[CheckStep]:
    if config.kit is None:
        return []
    # Not as a part of `stylerig_fast`, whose imports may not be unpacked yet.
    command = [config.python, "-m", "benchmarks.gpu_check.store", "--kit", str(config.kit), "--store"]
    parts = store.KitManifest.read(config.kit / "common").parts
    return [CheckStep(part.name, [*command, str(config.store), part.name]) for part in parts]


def _probe(config: CheckConfig) -> list[CheckStep]:
    return [_module(config, "probe")]


def _build(config: CheckConfig) -> list[CheckStep]:
    words = ["--library", str(config.library), "--csrc", str(config.tree / "csrc")]
    if config.kit is not None:
        common = config.kit / "common"
        same = store.KitManifest.read(common).kernels == store.digest(config.root, store.KERNELS)
        # A library compiled from other sources would be taken for that of these.
        words += ["--carried", str(common / "_kernels.so.xz")] if same else ["--outdated"]
    if config.small:
        words += ["--generators", str(config.store / "small")]
    # Not the library of an earlier call: it may not load.
    return [_module(config, "build", *words, environment={"STYLERIG_KERNELS": ""})]


def _test(config: CheckConfig) -> list[CheckStep]:
    # Reading the files first saves collecting a thousand tests; the marker selects the tests.
    files = [path for path in sorted(config.tree.glob("tests/**/test_*.py")) if "mark.gpu" in path.read_text("utf-8")]
    command = [config.python, "-m", "pytest", "-q", "-m", "gpu", "-o", "addopts=", "--import-mode=importlib"]
    command += ["-p", "no:cacheprovider", "--tb=short", "-rs", f"--junitxml={config.out / 'test.xml'}"]
    return [CheckStep("test", [*command, *(path.relative_to(config.tree).as_posix() for path in files)])]


def _sanitize(config: CheckConfig) -> list[CheckStep]:
    steps = []
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        step = _module(config, "kernels", "--tool", tool, step=tool)
        watched = [
            *f"compute-sanitizer --tool {tool} --print-limit 20 --error-exitcode 9 --log-file".split(),
            str(config.out / f"{tool}.txt"),
        ]
        # A dry run makes the same calls without the tool.
        command = [*watched, *step.command] if config.device == "cuda" else step.command
        # Without torch's cache every tensor is its own allocation, so that reads beyond its end are found.
        alone = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        steps.append(CheckStep(tool, command, 90, alone, on_request=tool in ("initcheck", "synccheck")))
    return steps


def _ops(config: CheckConfig) -> list[CheckStep]:
    if config.small:
        return [_bench(config, "ops-open", 60, "ops --batch 2 --size 32"), _module(config, "convolutions")]
    return [
        _bench(config, "ops-open", 45, "ops --size 128"),
        _bench(config, "ops-dense", 45, "ops --model dense --size 224"),
        _module(config, "convolutions", limit=45),
    ]


def _bench_stage(config: CheckConfig) -> list[CheckStep]:
    dtypes = "float32" if config.small else "float32 float16 bfloat16"
    dtype, batches = ("float32", "1") if config.small else ("float32 float16", "1 4 16")
    backends = "torch" if config.device == "cpu" else "torch cuda_graph"
    graph = backends.split()[-1]
    edit = f"edit --backends {backends} --peers eager --dtype {dtypes}"
    batch = f"batch --backends {graph} --peers eager --dtype {dtype} --batches {batches}"
    full, both = ("32", "32") if config.small else ("1024", "1024 256")
    short = " ".join(SMALL if config.small else SHORT)
    return [
        _bench(config, "edit-mobile", 80, f"{edit} --resolutions {both} {short}", config.generator),
        _bench(config, "edit-stylegan2", 60, f"{edit} --resolutions {full} {short}", config.stylegan2),
        _bench(config, "batch-mobile", 50, batch, config.generator),
        _bench(config, "batch-stylegan2", 60, batch, config.stylegan2),
    ]


def _tensorrt(config: CheckConfig) -> list[CheckStep]:
    dtype = "float32" if config.small else "float32 float16"
    short = " ".join(SMALL if config.small else SHORT)
    size = "32" if config.small else "1024"
    backends = "torch" if config.device == "cpu" else "tensorrt"
    words = f"edit --backends {backends} --peers eager --dtype {dtype} --resolutions {size} {short}"
    generator = ["--generator", config.generator] if config.generator else []
    return [
        _module(config, "tensorrt", *generator, limit=90),
        _bench(config, "edit-tensorrt", 90, words, config.generator),
    ]


def _train(config: CheckConfig) -> list[CheckStep]:
    small = " --samples 1 --rounds 1 --portraits 8 --pixels 32 --slots 4 --components 40" if config.small else ""
    generator = ["--generator", config.generator] if config.generator else []
    return [
        _bench(config, "train", 45, f"train --seconds {0.1 if config.small else 3}{small}"),
        _module(config, "rates", *generator),
    ]


STAGES: dict[str, CheckStage] = {
    "store": CheckStage(60, _store, "stores a part of a kit, and unpacks complete archives; store:1, store:2, ..."),
    "probe": CheckStage(30, _probe, "the machine, its copy bandwidth and matrix rates"),
    "build": CheckStage(150, _build, "loads the compiled operations or compiles them, and compares a few results"),
    "test": CheckStage(120, _test, "the tests marked `gpu`"),
    "sanitize": CheckStage(180, _sanitize, "compute-sanitizer over every kernel: memcheck, racecheck"),
    "ops": CheckStage(120, _ops, "times of the operations and of convolutions, in CUDA graphs"),
    "bench": CheckStage(250, _bench_stage, "stylerig-bench edit and batch"),
    "tensorrt": CheckStage(150, _tensorrt, "whether TensorRT for RTX supports this GPU; edits with it"),
    "train": CheckStage(90, _train, "training steps, and the time that 200,000 portraits take"),
}
