"""StyleRig, fast and complete: rig-like 3D control of a pretrained StyleGAN portrait generator."""

__version__ = "0.1.0"
