"""Asks a Triton Inference Server for pictures: needs tritonclient[http] and NumPy.

    docker run --rm --gpus all -p 8000:8000 -v $PWD/models:/models nvcr.io/nvidia/tritonserver:<tag>-py3 \
        tritonserver --model-repository /models
    python triton_client.py people.npy --out person.npy

Codes and parameter vectors are those of `stylerig_fast`; people.npy lies in the folder of `stylerig export onnx`, and
docs/examples/run_onnx.py shows how a parameter vector is put together.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np


def draw(client: Any, model: str, **inputs: np.ndarray) -> np.ndarray:
    """Pictures, uint8 ``(B, H, W, 3)``.

    Args:
        client: an `InferenceServerClient`.
        model: "stylerig_generator" or "stylerig_edit".
        inputs: ws ``(B, num_ws, 512)``; or w ``(B, num_ws, 512)``, params ``(B, P)`` and source ``(B, P)``.
    """
    from tritonclient import http

    tensors = []
    for name, value in inputs.items():
        tensor = http.InferInput(name, list(value.shape), "FP32")
        tensor.set_data_from_numpy(np.ascontiguousarray(value, np.float32))
        tensors.append(tensor)
    return client.infer(model, tensors, outputs=[http.InferRequestedOutput("image")]).as_numpy("image")


def main() -> None:
    """Asks a Triton server for one edit and writes the picture."""
    from tritonclient import http

    parser = argparse.ArgumentParser(description="Draws the people of a file of codes.")
    parser.add_argument("people", type=Path, help=".npy with codes (B, num_ws, 512)")
    parser.add_argument("--url", default="localhost:8000")
    parser.add_argument("--out", type=Path, required=True, help=".npy for pictures (B, H, W, 3)")
    arguments = parser.parse_args()
    client = http.InferenceServerClient(arguments.url)
    np.save(arguments.out, draw(client, "stylerig_generator", ws=np.load(arguments.people, allow_pickle=False)))


if __name__ == "__main__":
    main()
