"""What made a result: hashes of files, versions of code.

What a result was computed on: the machine and the device, as far as they say.
"""

import hashlib
import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import galr

REPORTED_PACKAGES = (
    "numpy",
    "torch",
    "torchvision",
    "torch-geometric",
    "mmdet",
    "mmengine",
    "h5py",
    "scikit-learn",
)


def file_sha256(path: Path) -> str:
    """Hash a file's bytes; 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_versions() -> dict[str, str]:
    """Versions of Python, of this package (with its commit in a checkout) and of the libraries that compute.

    A library that is not installed is left out: it comes with an extra.
    """
    versions = {"python": platform.python_version(), "galr": galr.__version__}
    if commit := _run_git("describe", "--always", "--dirty"):
        versions["commit"] = commit
    for name in REPORTED_PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def git_state() -> dict[str, str | bool]:
    """The commit of this package's checkout, and whether tracked files differ from it; empty without one."""
    commit = _run_git("rev-parse", "HEAD")
    if not commit:
        return {}
    return {
        "commit": commit,
        "dirty": bool(_run_git("status", "--porcelain", "--untracked-files=no")),
    }


def dependency_versions(requirement: str = "galr[all]") -> dict[str, str]:
    """Versions of the installed packages that a requirement needs, directly or not, by name."""
    found: dict[str, str] = {}
    root = Requirement(requirement)
    seen, waiting = set(), [root]
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
    found.pop(canonicalize_name(root.name), None)
    return dict(sorted(found.items()))


def _applies(need: Requirement, extras: set[str]) -> bool:
    """Whether a requirement holds on this machine, for a package that was asked for with some extras."""
    return need.marker is None or any(
        need.marker.evaluate({"extra": extra}) for extra in ("", *extras)
    )


def _run_git(*words: str) -> str:
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


CPUINFO = Path("/proc/cpuinfo")
MODEL_KEY = "model name"


def machine_info() -> dict[str, Any]:
    """System, processor, and how many of its cores this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"platform": platform.platform(), "processor": _processor(), "cores": usable}


def device_info(name: str) -> dict[str, Any]:
    """What stands behind a device's name.

    Args:
        name: `cpu`, `cuda` or `cuda:N`, one that this machine has.

    Returns:
        The name; of a GPU also its model, compute capability, memory in bytes, and the versions of
        driver (none where nobody tells), CUDA and cuDNN.
    """
    if not name.startswith("cuda"):
        return {"name": name}
    import torch  # a record of work on a CPU is written without

    about = torch.cuda.get_device_properties(name)
    return {
        "name": name,
        "gpu": about.name,
        "capability": f"{about.major}.{about.minor}",
        "memory": about.total_memory,
        "driver": _nvidia_driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _processor() -> str:
    """The processor's model, by Linux's word where there is one."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith(MODEL_KEY)]
    return named[0] if named else platform.processor() or platform.machine()


def _nvidia_driver() -> str | None:
    """Version of NVIDIA's driver."""
    try:
        said = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.splitlines()[0].strip() if said.stdout.strip() else None
