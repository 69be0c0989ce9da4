"""What made a result: hashes of files, versions of code."""

import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    if commit := _git("describe", "--always", "--dirty"):
        found["commit"] = commit
    return found | {name: version(name) for name in PACKAGES}


def git() -> dict[str, str | bool]:
    """The commit of this package's checkout, and whether tracked files differ from it; empty without one."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    return {
        "commit": commit,
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def packages(name: str = "galr") -> dict[str, str]:
    """Versions of all installed packages that one needs, and of those that they need, by name."""
    found: dict[str, str] = {}
    seen, waiting = set(), [Requirement(name)]
    while waiting:
        need = waiting.pop()
        key = canonicalize_name(need.name)
        if (key, *sorted(need.extras)) in seen:
            continue
        seen.add((key, *sorted(need.extras)))
        try:
            installed = distribution(need.name)
        except PackageNotFoundError:  # the lock, not the package, decides what is there
            continue
        found[key] = installed.version
        further = [Requirement(line) for line in installed.requires or ()]
        waiting += [each for each in further if _applies(each, need.extras)]
    found.pop(canonicalize_name(name), None)
    return dict(sorted(found.items()))


def _applies(need: Requirement, extras: set[str]) -> bool:
    """Whether a requirement holds on this machine, for a package that was asked for with some extras."""
    return need.marker is None or any(
        need.marker.evaluate({"extra": extra}) for extra in ("", *extras)
    )


def _git(*words: str) -> str:
    """What git says of the checkout that this package lies in; nothing where it lies in none.

    A package that was installed into a folder of somebody else's repository is not tracked there.
    """
    said = ""
    for command in (("ls-files", "--error-unmatch", "__init__.py"), words):
        try:
            done = subprocess.run(
                ["git", *command],
                cwd=Path(galr.__file__).parent,
                capture_output=True,
                text=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):  # no git, or no repository
            return ""
        said = done.stdout.strip()
    return said
