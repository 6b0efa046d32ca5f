"""Pretrained generators by name: found in their installed package, converted once, cached."""

from __future__ import annotations

import hashlib
import logging
from importlib import metadata
from pathlib import Path

import platformdirs
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.folder import load_generator, save_generator
from stylerig_fast.generators.formats.random_face import FILES, read_random_face
from stylerig_fast.generators.layers import mean_code
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN

NAMES = ("mobilestylegan-ffhq",)
PACKAGE, VERSION = "random-face", "2021.7.21.1"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"
# Of the files in that wheel: whatever else lies there is not what our weights were trained on.
SHA256 = {
    "MappingNetwork.xml": "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b",
    "MappingNetwork.bin": "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305",
    "SynthesisNetwork.xml": "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd",
    "SynthesisNetwork.bin": "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
}
# Raised when the layout of the converted state changes, so that older caches are converted again.
CONVERTER = 2

_log = logging.getLogger(__name__)


def load_pretrained(
    name: str = NAMES[0],
    device: str | torch.device = "cpu",
    cache_dir: str | Path | None = None,
) -> Generator:
    """A pretrained generator, frozen and in eval mode.

    The first call converts the weights of the installed ``random-face`` package (about 40 MB; it is never imported) to
    a checkpoint folder in the user's cache, later ones read that, its sha256 checked. A damaged cache is converted
    again, with a logged notice.

    Args:
        name: ``"mobilestylegan-ffhq"``: 1024 px, 16 slots. For research: see the model card.
        device: where to.
        cache_dir: instead of the user's cache folder.

    Raises:
        CheckpointError: no such name; the package is missing (the message has the command that installs it), of another
            version, or damaged.
    """
    if name not in NAMES:
        raise CheckpointError(f"no pretrained generator {name!r}; there are: {', '.join(NAMES)}")
    root = Path(cache_dir) if cache_dir else Path(platformdirs.user_cache_dir("stylerig_fast", appauthor=False))
    folder = root / "generators" / f"{name}-{CONVERTER}"
    if folder.is_dir():
        try:
            return load_generator(folder, device)
        except CheckpointError as error:
            _log.warning("converting %s again, its cached copy cannot be used: %s", name, error)
    source = find_package()
    generator = convert(source, name)
    try:
        save_generator(folder, generator, package=f"{PACKAGE}=={VERSION}", source_sha256=SHA256)
    except OSError as error:
        _log.warning("%s: the converted generator cannot be kept (%s); the next start converts it again", folder, error)
    return generator.to(device)


def open_generator(source: str | Path, device: str | torch.device = "cpu") -> Generator:
    """A generator, frozen and in eval mode: a name of `load_pretrained`, or a folder that `save_generator` wrote.

    Raises:
        CheckpointError: neither, or what is there is damaged.
    """
    if str(source) in NAMES:
        return load_pretrained(str(source), device)
    if not str(source) or not Path(source).is_dir():
        raise CheckpointError(
            f"generator {str(source)!r}: neither a folder nor one of {', '.join(NAMES)}; make a folder of a checkpoint "
            "with `stylerig convert generator`"
        )
    return load_generator(source, device)


def find_package() -> Path:
    """The ``data`` folder of the installed ``random-face``, its files checked against their recorded sha256.

    Raises:
        CheckpointError: it is missing, of another version, or damaged.
    """
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        raise CheckpointError(
            f"the Python package {PACKAGE}, which carries the weights of {NAMES[0]}, is not installed; run: {INSTALL}"
        ) from None
    if package.version != VERSION:
        raise CheckpointError(f"{PACKAGE} {package.version} is installed, expected {VERSION}; run: {INSTALL}")
    folder = Path(str(package.locate_file("random_face/data")))
    for file in FILES:
        try:
            content = (folder / file).read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"{folder / file}: cannot be read ({error.strerror}); run: {INSTALL} --force-reinstall"
            ) from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != SHA256[file]:
            raise CheckpointError(
                f"{folder / file}: {len(content)} bytes with sha256 {digest[:12]}…, expected {SHA256[file][:12]}…; the "
                f"file is truncated or changed, run: {INSTALL} --force-reinstall"
            )
    return folder


@torch.no_grad()
def convert(folder: Path, name: str = NAMES[0]) -> MobileStyleGAN:
    """The generator of the files in ``folder``, its ``w_mean`` over 16,384 codes of a fixed seed.

    Raises:
        CheckpointError: the files are of another network.
    """
    state = read_random_face(folder)
    generator = MobileStyleGAN(name=name)
    expected = {key: tuple(value.shape) for key, value in generator.state_dict().items() if key != "w_mean"}
    found = {key: tuple(value.shape) for key, value in state.items()}
    if expected != found:
        wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        raise CheckpointError(f"{folder}: not the network of {name}: {', '.join(wrong[:6])} differ; run: {INSTALL}")
    generator.load_state_dict(state | {"w_mean": generator.w_mean})
    generator.w_mean.copy_(mean_code(generator.mapping, generator.w_dim))
    return generator.eval().requires_grad_(False)
