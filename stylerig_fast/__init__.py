"""StyleRig, fast and complete: rig-like 3D control of a pretrained StyleGAN portrait generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylerig_fast.engine import Engine
    from stylerig_fast.params import FaceParams

__version__ = "0.1.0"
__all__ = ["Engine", "FaceParams", "__version__"]


def __getattr__(name: str) -> Any:
    # The Engine pulls in everything else; training and conversion import the package without it. FaceParams pulls in
    # torch, which the child process that reads untrusted files does without.
    if name == "Engine":
        from stylerig_fast.engine import Engine

        return Engine
    if name == "FaceParams":
        from stylerig_fast.params import FaceParams

        return FaceParams
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
