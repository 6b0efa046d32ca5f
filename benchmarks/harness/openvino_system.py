"""OpenVINO on the same network: MobileStyleGAN-FFHQ's synthesis as the ``random-face`` wheel ships it, on the CPU.

The shipped graph takes one code for all slots. Each of its modulations is connected to the code of its own slot, as W+
codes need it; nothing else is changed.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import numpy as np
import torch

from stylerig_fast.engine import Engine
from stylerig_fast.errors import BackendUnavailable, CheckpointError
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.generators.pretrained import NAMES, find_package
from stylerig_fast.images import to_uint8

from .parity import Pixels
from .queries import Query

INSTALL = "pip install openvino"
_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_LAYER = re.compile(r"m\.(?:conv1|layers\.(\d+)\.(up|conv1|conv2|to_img))\b")
_OFFSET = {"up": 1, "conv1": 1, "conv2": 2, "to_img": 3}


class OpenVINOSystem:
    """Edits with the Engine's rig in torch, and pictures by OpenVINO."""

    name = "OpenVINO"
    previews = False

    def __init__(self, engine: Engine, precision: str, device: torch.device) -> None:
        """Compiles the network for one picture at a time (the hint LATENCY).

        Args:
            engine: whose generator must be the one that the graph is of; its rig edits the codes.
            precision: "float32" or "bfloat16".
            device: only the CPU is supported.

        Raises:
            BackendUnavailable: OpenVINO or the network's files are not installed, or the generator is another one.
        """
        generator = engine.generator
        if device.type != "cpu":
            raise BackendUnavailable("OpenVINO: it is compared with backends on the CPU only")
        if not isinstance(generator, MobileStyleGAN) or generator.name not in NAMES:
            raise BackendUnavailable(f"OpenVINO: there is a graph of {', '.join(NAMES)} only, not of {generator.name}")
        try:
            self._openvino: Any = importlib.import_module("openvino")
            folder = find_package()
        except ImportError:
            raise BackendUnavailable(f"OpenVINO is not installed; to compare with it run: {INSTALL}") from None
        except CheckpointError as error:
            raise BackendUnavailable(f"OpenVINO: {error}") from error
        self.precision, self._rig = precision, engine.rig
        self._core = self._openvino.Core()
        self._model = with_slots(
            self._openvino, self._core.read_model(folder / "SynthesisNetwork.xml"), generator.num_ws
        )
        self._one = self._compile("LATENCY").create_infer_request()
        self._queue: Any = None

    def edit(self, query: Query, resolution: int) -> Pixels:
        """See `System`; at the generator's resolution only. A batch runs as parallel requests (the hint THROUGHPUT)."""
        codes = self._rig(query.w, query.params).numpy()
        out = torch.empty(len(codes), resolution, resolution, 3, dtype=torch.uint8)

        def store(infer: Any, row: int) -> None:
            # The picture is in memory of the infer request, which may be overwritten.
            image = torch.from_numpy(infer.get_output_tensor(0).data)[0]
            out[row].copy_(to_uint8(image, overwrite=True).permute(1, 2, 0))

        if len(codes) == 1:
            self._one.infer({0: codes}, share_inputs=True)
            store(self._one, 0)
            return out.numpy()
        if self._queue is None:
            self._queue = self._openvino.AsyncInferQueue(self._compile("THROUGHPUT"))
        self._queue.set_callback(store)
        for row in range(len(codes)):
            self._queue.start_async({0: codes[row : row + 1]}, userdata=row)
        self._queue.wait_all()
        return out.numpy()

    def info(self) -> dict[str, object]:
        return {"backend": self.name, "version": self._openvino.get_version(), "precision hint": _HINTS[self.precision]}

    def _compile(self, hint: str) -> Any:
        # Named also for float32: on a CPU with bfloat16, OpenVINO uses that by default.
        options = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "PERFORMANCE_HINT": hint,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        return self._core.compile_model(self._model, "CPU", options)


def with_slots(openvino: Any, model: Any, num_ws: int) -> Any:
    """The synthesis network with one input ``(1, num_ws, 512)`` in place of ``(1, 512)`` for all slots.

    Args:
        openvino: the module.
        model: as read from the wheel.
        num_ws: slots.

    Raises:
        BackendUnavailable: an unknown layer takes the code.
    """
    ops = importlib.import_module(f"{openvino.__name__}.opset13")
    style = model.get_parameters()[0]
    codes = ops.parameter([1, num_ws, style.get_partial_shape()[1].get_length()], np.float32, name="ws")
    slots = [ops.gather(codes, ops.constant(np.int64(slot)), ops.constant(np.int64(1))) for slot in range(num_ws)]
    for target in list(style.output(0).get_target_inputs()):
        node, slot = target.get_node(), 0
        if node.get_type_name() == "MatMul":
            weight = node.input_value(1).get_node().get_friendly_name()
            layer = _LAYER.match(weight)
            if layer is None:
                raise BackendUnavailable(f"OpenVINO: the graph feeds its code to {weight!r}, which is no known layer")
            slot = 0 if layer[1] is None else 2 * int(layer[1]) + _OFFSET[layer[2]]
        target.replace_source_output(slots[slot].output(0))
    return openvino.Model(model.get_results(), [codes], "MobileStyleGAN, W+")
