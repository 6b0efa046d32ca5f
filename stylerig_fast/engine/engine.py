"""Engine: sample, reconstruct, edit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.engine.backends.base import BackendName, BackendSpec, Previews, checked_device, choose
from stylerig_fast.engine.edit_request import as_request, assemble
from stylerig_fast.engine.loading import check_parts, expand_codes, find_folder, placed
from stylerig_fast.engine.params_cache import ParamsCache
from stylerig_fast.engine.reach import Reach
from stylerig_fast.engine.roll import turned
from stylerig_fast.engine.transfers import HostCopies, upload
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.arguments import all_finite
from stylerig_fast.face.model_io import load_face_model, open_face_model
from stylerig_fast.generators import Generator, open_generator
from stylerig_fast.param_layout import CONTROLS
from stylerig_fast.params import FaceParams
from stylerig_fast.reconstructor import FaceReconstructor, check_code
from stylerig_fast.render import Rendered, evaluate, render
from stylerig_fast.rignet import RigNet
from stylerig_fast.warn import warn_caller

Output = Literal["numpy", "torch"]


@dataclass(frozen=True)
class Mesh:
    """What a 3D viewer needs of a batch of faces.

    Attributes:
        vertices: ``(B, V, 3)`` decimetres, camera space.
        triangles: ``(T, 3)`` int32.
        colours: ``(B, V, 3)`` albedo RGB in [0, 1].
        landmarks: ``(B, 68, 2)`` image widths.
    """

    vertices: Tensor
    triangles: Tensor
    colours: Tensor
    landmarks: Tensor


class Engine:
    """Rig-like control of a pretrained portrait generator (Tewari et al., StyleRig, CVPR 2020).

    Codes are ``w`` ``(B, num_ws, 512)``; pictures leave as uint8 ``(B, H, W, 3)``.

    An Engine takes its networks over and does not copy them: generator, rig and reconstructor are put into eval mode
    and frozen, in place, and with a ``dtype`` other than float32 the generator's weights may be rounded. Networks that
    lie on another device than ``device`` are copied there, and the caller's stay as they are. Give
    ``copy.deepcopy(rig)`` to go on training a rig apart from the Engine; a rig that is shared on purpose, as in
    training, draws with its newest weights on the backend "torch".

    Attributes:
        device: where everything runs.
        dtype: what the generator computes in.
        resolution: size of the pictures.
        generator: codes to pictures.
        rig_net: the RigNet that `rig` calls.
        reconstructor: F.
        face_model: of both.
        reach: reachable ranges to warn about; None for none.
        backend: what runs the generator.
    """

    def __init__(
        self,
        generator: Generator,
        rig: RigNet,
        reconstructor: FaceReconstructor,
        face_model: FaceModel | None = None,
        reach: Reach | None = None,
        allow_mismatch: bool = False,
        backend: BackendName = "auto",
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        resolution: int | None = None,
        graphs: str | Path | None = None,
        previews: Previews = "mean",
    ) -> None:
        """Puts the parts together.

        Args:
            generator: codes to pictures. It, ``rig`` and ``reconstructor`` are taken over, see above.
            rig: the trained RigNet.
            reconstructor: the F that the rig was trained against.
            face_model: the face model of both; the open face model by default.
            reach: reachable ranges to warn about; no warnings without.
            allow_mismatch: take a rig or reconstructor that was trained for another generator or face model of the
                same sizes.
            backend: how the generator is run; "auto" takes the fastest that can run, and `info` says why not another.
            device: where everything runs.
            dtype: what the generator computes in: float32, bfloat16, float16; its weights are rounded in place. By
                default float32, and bfloat16 for pictures of a quarter of the width or less if the CPU is fast in it.
            resolution: size of the pictures; the generator's own by default.
            graphs: folder that `stylerig export` wrote, for the backends "onnxruntime" and "tensorrt".
            previews: what pictures of a quarter of the width or less are: the box mean of the whole picture, or with
                "early" what a StyleGAN2 itself draws at that size, at a fraction of the cost: finer layers are missing.

        Raises:
            BackendUnavailable: unknown backend, one that cannot run here or has no early previews, or no such device.
            CheckpointError: the parts do not belong together.
        """
        self.device = checked_device(device)
        face_model = face_model or open_face_model()
        check_parts(generator, rig, reconstructor, face_model, allow_mismatch)
        self.generator = placed(generator, self.device)
        self.rig_net = placed(rig, self.device)
        self.reconstructor = placed(reconstructor, self.device)
        self._params_cache = ParamsCache(self.reconstructor)
        self._to_host = HostCopies()
        self.face_model = face_model.to(self.device)
        self.reach = reach
        self.dtype = dtype or torch.float32
        exported = None if graphs is None else Path(graphs)
        networks = self.generator, self.rig_net, self.device
        spec = BackendSpec(*networks, self.dtype, exported, allow_mismatch, dtype is None, previews)
        self._choice = choose(backend, spec)
        self.backend = self._choice.backend
        self.resolution = self._checked_resolution(resolution or generator.resolution)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = "mobilestylegan-ffhq",
        *,
        generator: Generator | None = None,
        rig: RigNet | None = None,
        face_model: FaceModel | None = None,
        reach: Reach | Literal["stored"] | None = "stored",
        **options: Any,
    ) -> Engine:
        """An Engine with trained weights.

        Args:
            source: a name in `PRETRAINED`, or a folder with ``reconstructor/``, ``rig/`` and, where they are not the
                package's own, ``generator/`` and ``face_model.safetensors``.
            generator: used in place of the stored one.
            rig: used in place of the stored one.
            face_model: used in place of the stored one.
            reach: reachable ranges to warn about; by default those of the folder's ``reach.json``, with None none.
            options: of `Engine`: ``allow_mismatch``, ``backend``, ``device``, ``dtype``, ``resolution``, ``previews``,
                ``graphs`` (by default the folder's own ``onnx/``).

        Raises:
            CheckpointError: something is missing or damaged.
        """
        folder = find_folder(source)
        if face_model is None and (folder / "face_model.safetensors").exists():
            face_model = load_face_model(folder / "face_model.safetensors")
        reconstructor = FaceReconstructor.from_pretrained(folder / "reconstructor")
        if generator is None:
            stored = folder / "generator"
            generator = open_generator(stored if stored.is_dir() else reconstructor.config.provenance.generator)
        if (folder / "onnx").is_dir():
            options.setdefault("graphs", folder / "onnx")
        return cls(
            generator,
            rig or RigNet.from_pretrained(folder / "rig"),
            reconstructor,
            face_model,
            Reach.load(folder / "reach.json") if reach == "stored" else reach,
            **options,
        )

    # ---- codes ------------------------------------------------------------------------------------

    def sample(self, seed: int = 0, n: int = 1, psi: float = 0.7) -> Tensor:
        """Codes of random people, ``(n, num_ws, 512)``; the same on every device.

        Args:
            seed: of the draw.
            n: how many.
            psi: truncation, 0 (the average face) to 1 (everybody).
        """
        return self.generator.sample(n=n, seed=seed, psi=psi)

    @torch.no_grad()
    def params(self, w: Tensor) -> FaceParams:
        """F of the codes ``w``: complete parameters of those people, on the Engine's device."""
        return self.reconstructor(self._code(w))

    @torch.no_grad()
    def rig(self, w: Tensor, params: FaceParams, clamp: bool = False) -> Tensor:
        """The edited code w' ``(B, num_ws, 512)``.

        Args:
            w: codes; one code may be edited by a batch of parameters.
            params: what is asked for; blocks that are None, and the blocks that are no control, stay the person's, and
                so does roll: no code of an aligned generator holds it, and `edit` turns the picture.
            clamp: move requests beyond the reachable range to its end; without it they only warn.
        """
        return self.rig_net(*self._rig_inputs(w, params, clamp)[:3])

    def _rig_inputs(self, w: Tensor, params: FaceParams, clamp: bool) -> tuple[Tensor, Tensor, Tensor, list[float]]:
        """Codes, target and source as RigNet takes them, and the roll; made on the CPU, so that no GPU waits."""
        code = self._code(w)
        code, target, source, rolls = assemble(code, self._params_cache.params(w, code), params, self.reach, clamp)
        target, source = upload(torch.stack([target, source]), self.device).unbind()
        return code, target, source, rolls

    @torch.no_grad()
    def mix_codes(self, w: Tensor, v: Tensor, slots: Iterable[int]) -> Tensor:
        """The codes behind `mix`.

        Args:
            w: codes ``(B, num_ws, 512)``, or one for all of ``v``.
            v: codes ``(B, num_ws, 512)``, or one for all of ``w``.
            slots: what is taken from ``v``, 0 to num_ws - 1.

        Returns:
            ``(B, num_ws, 512)``.

        Raises:
            ValueError: a slot that is not there, or batches that do not fit each other.
        """
        w, v, chosen = self._code(w), self._code(v), list(slots)
        if any(not 0 <= slot < self.generator.num_ws for slot in chosen):
            raise ValueError(f"slots {chosen} are not all within 0 … {self.generator.num_ws - 1}")
        batch = max(len(w), len(v))
        w, v = expand_codes(w, batch), expand_codes(v, batch)
        # No index of a list of slots: on a GPU that waits.
        return torch.stack([(v if slot in chosen else w)[:, slot] for slot in range(self.generator.num_ws)], dim=1)

    # ---- pictures ---------------------------------------------------------------------------------

    @torch.no_grad()
    def render(self, w: Tensor, output: Output = "numpy", resolution: int | None = None) -> Any:
        """Pictures of codes, uint8 ``(B, H, W, 3)``: NumPy by default, a tensor on the device with "torch"."""
        size = self._checked_output(output, resolution)
        pictures = self.backend.pictures(self._code(w), size)
        return pictures if output == "torch" else self._to_host(pictures)

    @torch.no_grad()
    def edit(
        self,
        w: Tensor,
        params: FaceParams,
        output: Output = "numpy",
        clamp: bool = False,
        resolution: int | None = None,
    ) -> Any:
        """Pictures of the same people with pose, expression and light as asked; arguments as in `rig` and `render`."""
        size = self._checked_output(output, resolution)
        w, target, source, rolls = self._rig_inputs(w, params, clamp)
        pictures = turned(self.backend.edit(w, target, source, size), rolls)
        return pictures if output == "torch" else self._to_host(pictures)

    def transfer(self, w: Tensor, source: Tensor, controls: Iterable[str] = ("pose",), output: Output = "numpy") -> Any:
        """``w`` with the pose, expression or illumination of the person in ``source``."""
        return self.edit(w, self.transfer_params(w, source, controls), output)

    def transfer_params(self, w: Tensor, source: Tensor, controls: Iterable[str] = ("pose",)) -> FaceParams:
        """The parameters behind `transfer`: those of ``w`` with the controls of ``source``."""
        return self.params(w).with_controls_from(self.params(source), controls)

    def mix(self, w: Tensor, v: Tensor, slots: Iterable[int], output: Output = "numpy") -> Any:
        """StyleGAN style mixing: ``w`` with the codes of ``slots`` taken from ``v``."""
        return self.render(self.mix_codes(w, v, slots), output)

    def generate(
        self,
        n: int = 1,
        seed: int = 0,
        psi: float = 0.7,
        pose: Mapping[str, float] | None = None,
        expression: Mapping[str, float] | None = None,
        light: Mapping[str, Any] | None = None,
        output: Output = "numpy",
    ) -> Any:
        """Random people who all hold the given controls (the paper's conditional generation).

        Args:
            n: how many people.
            seed: of the draw.
            psi: truncation.
            pose: arguments of `FaceParams.with_pose`.
            expression: arguments of `FaceParams.with_expression`.
            light: arguments of `FaceParams.with_light`.
            output: as in `render`.
        """
        return self.edit(self.sample(seed, n, psi), as_request(pose, expression, light), output)

    def mixed(self, w: Tensor, v: Tensor, slots: Iterable[int]) -> Tensor:
        """Former name of `mix_codes`; goes with the next release."""
        warn_caller("Engine.mixed is called mix_codes now", DeprecationWarning)
        return self.mix_codes(w, v, slots)

    def transferred(self, w: Tensor, source: Tensor, controls: Iterable[str] = ("pose",)) -> FaceParams:
        """Former name of `transfer_params`; goes with the next release."""
        warn_caller("Engine.transferred is called transfer_params now", DeprecationWarning)
        return self.transfer_params(w, source, controls)

    # ---- the face model ---------------------------------------------------------------------------

    @property
    def camera(self) -> Camera:
        """The camera that F was trained with."""
        return self.reconstructor.camera

    @torch.no_grad()
    def render_params(self, params: FaceParams, size: int = 256) -> Rendered:
        """The face model itself, rendered with ``params``."""
        return render(self.face_model, params.to(self.device), self.camera, size)

    @torch.no_grad()
    def mesh(self, params: FaceParams) -> Mesh:
        """The face model's surface for a viewer."""
        surface = evaluate(self.face_model, params.to(self.device), self.camera)
        return Mesh(surface.vertices, self.face_model.triangles, surface.albedo, surface.landmarks)

    def info(self) -> dict[str, object]:
        """What runs where, and why."""
        return {
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            **self._choice.describe(),
            "threads": torch.get_num_threads(),
            "resolution": self.resolution,
            "generator": type(self.generator).__name__,
            "num_ws": self.generator.num_ws,
            "rig": dataclasses.asdict(self.rig_net.config),
            "face_model": self.face_model.name,
            "ops": ops.paths(self.device),
            "controls": list(CONTROLS),
        }

    # ---- checks -----------------------------------------------------------------------------------

    def _code(self, w: Tensor) -> Tensor:
        """Codes on the device, as float32.

        Raises:
            ValueError: another shape or dtype, or on the CPU a value that is not finite.
        """
        check_code(w, self.generator.num_ws, self.generator.w_dim)
        # On a GPU the question would wait for everything that is queued there.
        if w.device.type == "cpu" and not all_finite(w):
            raise ValueError("w holds values that are not finite")
        return upload(w, self.device, torch.float32)

    def _checked_output(self, output: Output, resolution: int | None) -> int:
        if output not in ("numpy", "torch"):
            raise ValueError(f"output is {output!r}, expected 'numpy' or 'torch'")
        return self.resolution if resolution is None else self._checked_resolution(resolution)

    def _checked_resolution(self, resolution: int) -> int:
        full = self.generator.resolution
        if resolution < 32 or full % resolution or (full // resolution) & (full // resolution - 1):
            raise ValueError(f"resolution is {resolution}, expected {full} or its half, quarter, … down to 32")
        return resolution
