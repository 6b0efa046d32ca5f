"""Edits a person with exported graphs: only onnxruntime and NumPy are needed (and Pillow for a PNG file).

    stylerig export onnx --out graphs        # once, where stylerig_fast is installed
    python run_onnx.py graphs --person 3 --yaw 20 --expression jawOpen=0.4 --out edited.png

FOLDER is what `stylerig export onnx` wrote. Without Pillow give the picture a name that ends in .ppm or .npy.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


class Graphs:
    """The graphs of an export folder."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self.folder = folder
        self.manifest = json.loads((folder / "export.json").read_bytes())
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads  # 0: one per core

    def run(self, name: str, **inputs: np.ndarray) -> np.ndarray:
        """The one output of the graph ``name``."""
        content = (self.folder / f"{name}.onnx").read_bytes()
        if hashlib.sha256(content).hexdigest() != self.manifest["files"][f"{name}.onnx"]:
            sys.exit(f"{name}.onnx is not the file that was exported; export again")
        # Programs that make more than one picture keep the session.
        session = onnxruntime.InferenceSession(content, self.options, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)[0]

    def block(self, name: str) -> slice:
        """Where a block of a parameter vector is: identity, albedo, expression, illumination, rotation, translation."""
        names, sizes = list(self.manifest["sizes"]), list(self.manifest["sizes"].values())
        first = sum(sizes[: names.index(name)])
        return slice(first, first + self.manifest["sizes"][name])


def rotation_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula, ``(3,)`` -> ``(3, 3)``."""
    x, y, z = axis_angle
    angle = max(float(np.linalg.norm(axis_angle)), 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) / angle
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def to_degrees(axis_angle: np.ndarray) -> np.ndarray:
    """Axis-angle in radians -> yaw, pitch, roll in degrees."""
    m = rotation_matrix(axis_angle)
    yaw = np.arcsin(np.clip(-m[2, 0], -1, 1))
    return np.rad2deg([yaw, -np.arctan2(m[2, 1], m[2, 2]), -np.arctan2(m[1, 0], m[0, 0])])


def to_axis_angle(degrees: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll in degrees -> axis-angle in radians: R = R_roll R_yaw R_pitch."""
    yaw, pitch, roll = np.deg2rad(degrees)
    m = rotation_matrix(np.array([0, 0, -roll])) @ rotation_matrix(np.array([0, yaw, 0]))
    m = m @ rotation_matrix(np.array([-pitch, 0, 0]))
    twice = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    sine, cosine = np.linalg.norm(twice) / 2, (np.trace(m) - 1) / 2
    return twice / 2 * (np.arctan2(sine, cosine) / sine if sine > 1e-9 else 1.0)


def requested(graphs: Graphs, source: np.ndarray, arguments: argparse.Namespace) -> np.ndarray:
    """The person's parameters ``(1, P)`` with what was asked for put in place of what is there."""
    params = source.copy()
    rotation = graphs.block("rotation")
    degrees = to_degrees(source[0, rotation].astype(np.float64))
    for index, angle in enumerate((arguments.yaw, arguments.pitch)):
        degrees[index] = degrees[index] if angle is None else angle
    params[0, rotation] = to_axis_angle(degrees)
    for pair in arguments.expression:
        name, _, value = pair.partition("=")
        params[0, graphs.block("expression").start + graphs.manifest["expression_names"].index(name)] = float(value)
    return params


def write(image: np.ndarray, path: Path) -> None:
    """Writes ``(H, W, 3)`` uint8 as .npy, as .ppm, or through Pillow."""
    if path.suffix == ".npy":
        np.save(path, image)
    elif path.suffix == ".ppm":
        path.write_bytes(b"P6 %d %d 255\n" % (image.shape[1], image.shape[0]) + image.tobytes())
    else:
        from PIL import Image

        Image.fromarray(image).save(path)


def main() -> None:
    """Edits a face with exported graphs and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what `stylerig export onnx` wrote")
    parser.add_argument("--out", type=Path, required=True, help="picture: .png, .ppm or .npy")
    parser.add_argument("--person", type=int, default=0, help="row of people.npy, 0 to 7")
    parser.add_argument("--latent", type=Path, help=".npy with a code (1, num_ws, 512) in place of --person")
    parser.add_argument("--yaw", type=float, help="degrees; positive turns the nose to the picture's right edge")
    parser.add_argument("--pitch", type=float, help="degrees; positive lifts the chin")
    parser.add_argument("--expression", nargs="*", default=[], metavar="NAME=VALUE", help="for example jawOpen=0.4")
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    arguments = parser.parse_args()

    graphs = Graphs(arguments.folder, arguments.threads)
    if arguments.latent is None:
        w = np.load(arguments.folder / "people.npy", allow_pickle=False)[arguments.person : arguments.person + 1]
    else:
        w = np.load(arguments.latent, allow_pickle=False)[:1].astype(np.float32)
    source = graphs.run("reconstructor", w=w)
    image = graphs.run("edit", w=w, params=requested(graphs, source, arguments), source=source)[0]
    write(image, arguments.out)
    print(f"wrote {arguments.out}, {image.shape[1]}x{image.shape[0]}")


if __name__ == "__main__":
    main()
