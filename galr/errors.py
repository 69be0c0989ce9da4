"""Every error with an explanation for the user, by the part that raises it.

GalrError                 one line, exit code 2
├── ConfigError           a setting, a variant, a dataset file, a detector file
├── DataError             images, sentences, boxes: the input
│   ├── DownloadError     an address that does not answer, an archive with another hash
│   └── StoreError        a file of this package: another kind or version, cut short, other shapes
├── OutputError           a file or folder that cannot be written
├── ShapeError            arrays that do not belong together
├── VerifyError           a run whose numbers cannot be reproduced
├── DeviceError           a device that this machine does not have
└── ExtraError            a package that is not installed, because an extra brings it

A message says what was found, what was expected, and what to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager

# Packages that `pip install galr` alone does not bring: name of the import -> extra of the project.
EXTRAS = {
    "faiss": "search",
    "huggingface_hub": "pretrained",
    "imagehash": "workflow",
    "lightning_fabric": "train",
    "mmcv": "detect",
    "mmdet": "detect",
    "mmengine": "detect",
    "open_clip": "pretrained",
    "pkg_resources": "detect",
    "pyarrow": "workflow",
    "requests": "workflow",
    "safetensors": "train",
    "skimage": "proposals",
    "sklearn": "train",
    "snakemake": "workflow",
    "tensorboard": "train",
    "timm": "train",
    "tokenizers": "pretrained",
    "torch": "train",
    "torch_geometric": "train",
    "torchvision": "train",
    "transformers": "pretrained",
    "urllib3": "workflow",
}


class GalrError(Exception):
    """An error that we can explain; printed as one line, never as a traceback."""


class ConfigError(GalrError):
    """A setting that is invalid in any experiment."""


class DataError(GalrError):
    """Input that is missing, damaged or contradicts itself."""


class DownloadError(DataError):
    """A file that cannot be downloaded, or has another hash than expected."""


class StoreError(DataError):
    """A file of this package that cannot be used."""


class OutputError(GalrError):
    """A file or folder that cannot be written."""


class ShapeError(GalrError):
    """Arrays with shapes or values that contradict each other."""


class VerifyError(GalrError):
    """A stored result that differs from the same computation made again."""


class DeviceError(GalrError):
    """A device that this machine does not have."""


class ExtraError(GalrError):
    """A package that is not installed, because an extra of this project brings it."""


def printable(text: str, max_length: int = 120) -> str:
    """Make text of a user or a file fit for a message: one line, short, without characters that move a terminal's cursor.

    Letters of every script stay as they are.
    """
    escaped = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text[: max_length + 1]
    )
    return escaped if len(escaped) <= max_length else f"{escaped[:max_length]}…"


@contextmanager
def explain_missing_extra(extra: str | None = None) -> Iterator[None]:
    """Name the extra to install where an import fails for want of it.

    Args:
        extra: the extra to name, whichever of its packages is missing; None for the package's own in `EXTRAS`.

    Raises:
        ExtraError: a package of `EXTRAS` is not installed.
        ModuleNotFoundError: any other module is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise ExtraError(
            f"the package {package} is not installed; run: pip install 'galr[{extra or EXTRAS[package]}]'"
        ) from error
