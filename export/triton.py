"""Writes a model repository for the Triton Inference Server: exported graphs or TensorRT plans, and a client.

Layout and fields are those of Triton's documentation ("Model Repository", "Model Configuration").
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.engine.backends.graph_folder import ExportManifest, GraphFolder
from stylerig_fast.engine.backends.tensorrt_plan import Profile
from stylerig_fast.errors import ExportError

MODELS = ("generator", "edit")
PREFIX = "stylerig_"
CLIENT = "triton_client.py"
# How long a request may wait for others to share a batch with: less than it takes to see.
QUEUE_MICROSECONDS = 500


def export_triton(
    folder: str | Path, repository: str | Path, plans: Mapping[str, bytes] | None = None, max_batch: int = 8
) -> list[str]:
    """Writes the models ``stylerig_generator`` and ``stylerig_edit`` and an example of a client.

    Args:
        folder: what `export_onnx` wrote.
        repository: folder for ``triton --model-repository``, created if needed.
        plans: TensorRT plans by graph, for the GPU and the versions they were built with, in place of the graphs.
        max_batch: largest batch of graphs that take any.

    Returns:
        the files, relative to the repository.

    Raises:
        ExportError: a plan is missing, or ``max_batch`` makes no sense.
        CheckpointError: the folder is missing or damaged.
    """
    graphs, repository = GraphFolder(folder), Path(repository)
    most = Profile().highest if plans else 1024
    if not 1 <= max_batch <= most:
        raise ExportError(f"max_batch is {max_batch}, expected 1 to {most}")
    if plans is not None and set(MODELS) - set(plans):
        raise ExportError(f"plans for {', '.join(sorted(plans))}, expected {' and '.join(MODELS)}")
    if repository.exists() and not repository.is_dir():
        raise ExportError(f"{repository} is a file; name a folder for the models")
    content: dict[str, bytes] = {}
    for name in MODELS:
        file = "model.onnx" if plans is None else "model.plan"
        content[f"{PREFIX}{name}/1/{file}"] = graphs.read(name) if plans is None else plans[name]
        text = config(name, graphs.manifest, "onnxruntime" if plans is None else "tensorrt", max_batch)
        content[f"{PREFIX}{name}/config.pbtxt"] = text.encode()
    # Beside the models: Triton takes every folder of a repository for a model, and leaves files alone.
    content[CLIENT] = (files(__package__) / CLIENT).read_bytes()
    for path, value in content.items():
        write_atomically(repository / path, value)
    return sorted(content)


def config(name: str, manifest: ExportManifest, backend: str, max_batch: int) -> str:
    """The text of ``config.pbtxt``.

    Graphs for any batch leave out the batch dimension and let Triton make batches; those for one batch have it.
    """
    static = manifest.static_batch
    codes, vector = [manifest.num_ws, manifest.w_dim], [manifest.width]
    inputs = dict(zip(manifest.inputs(name), (codes, vector, vector), strict=False))
    outputs = {"image": [manifest.resolution, manifest.resolution, 3]}
    lines = [
        f'name: "{PREFIX}{name}"',
        f'backend: "{backend}"',
        f"max_batch_size: {0 if static else max_batch}",
    ]
    for kind, tensors, dtype in (("input", inputs, "TYPE_FP32"), ("output", outputs, "TYPE_UINT8")):
        for tensor, dims in tensors.items():
            shape = ", ".join(map(str, [static, *dims] if static else dims))
            lines += [f"{kind} {{", f'  name: "{tensor}"', f"  data_type: {dtype}", f"  dims: [ {shape} ]", "}"]
    if not static:
        lines += ["dynamic_batching {", f"  max_queue_delay_microseconds: {QUEUE_MICROSECONDS}", "}"]
    return "\n".join(lines) + "\n"
