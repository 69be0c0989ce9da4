"""What made a result: hashes of files, versions of code."""

import hashlib
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import galr

PACKAGES = (
    "numpy",
    "torch",
    "torchvision",
    "torch-geometric",
    "mmdet",
    "mmengine",
    "h5py",
    "scikit-learn",
)


def sha256(path: Path) -> str:
    """Hash a file's bytes; 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code() -> dict[str, str]:
    """Versions of Python, of this package (with its commit in a checkout) and of what computes."""
    found = {"python": platform.python_version(), "galr": galr.__version__}
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(galr.__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if commit.returncode == 0:
        found["commit"] = commit.stdout.strip()
    return found | {name: version(name) for name in PACKAGES}
