"""Provenance of a result: hashes of files, versions of the code, the machine and the device."""

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

CPUINFO = Path("/proc/cpuinfo")
MODEL_KEY = "model name"
REPORTED_PACKAGES = (
    "numpy",
    "torch",
    "torchvision",
    "torch-geometric",
    "mmdet",
    "mmengine",
    "h5py",
    "scikit-image",
    "scikit-learn",
)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_versions() -> dict[str, str]:
    """Return the versions of Python, of this package (with its commit in a checkout) and of its numerical libraries.

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
    """Return the commit of this package's checkout and whether tracked files differ from it; empty without a checkout."""
    commit = _run_git("rev-parse", "HEAD")
    if not commit:
        return {}
    return {
        "commit": commit,
        "dirty": bool(_run_git("status", "--porcelain", "--untracked-files=no")),
    }


def dependency_versions(requirement: str = "galr[all]") -> dict[str, str]:
    """Return the versions of the installed packages that a requirement needs, directly or indirectly, by name."""
    versions: dict[str, str] = {}
    root = Requirement(requirement)
    visited, waiting = set(), [root]
    while waiting:
        need = waiting.pop()
        key = canonicalize_name(need.name)
        if (key, *sorted(need.extras)) in visited:
            continue
        visited.add((key, *sorted(need.extras)))
        try:
            installed = distribution(need.name)
        except PackageNotFoundError:  # optional, or not needed on this machine
            continue
        versions[key] = installed.version
        further = [Requirement(line) for line in installed.requires or ()]
        waiting += [item for item in further if _applies(item, need.extras)]
    versions.pop(canonicalize_name(root.name), None)
    return dict(sorted(versions.items()))


def _applies(need: Requirement, extras: set[str]) -> bool:
    """Tell whether a requirement applies on this machine, for a package that is installed with some extras."""
    return need.marker is None or any(
        need.marker.evaluate({"extra": extra}) for extra in ("", *extras)
    )


def _run_git(*words: str) -> str:
    """Return the output of a git command in this package's checkout; empty without a checkout.

    A package that is installed inside the folder of another repository is not tracked there.
    """
    output = ""
    for command in (("ls-files", "--error-unmatch", "__init__.py"), words):
        try:
            result = subprocess.run(
                ["git", *command],
                cwd=Path(galr.__file__).parent,
                capture_output=True,
                text=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):  # no git, or no repository
            return ""
        output = result.stdout.strip()
    return output


def machine_info() -> dict[str, Any]:
    """Return the platform, the processor, and the number of its cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"platform": platform.platform(), "processor": _processor(), "cores": usable}


def device_info(name: str) -> dict[str, Any]:
    """Describe the device of a name.

    Args:
        name: `cpu`, `cuda` or `cuda:N`; the machine must have it.

    Returns:
        The name; for a GPU also its model, compute capability, memory in bytes, and the versions of the
        driver (None if unknown), CUDA and cuDNN.
    """
    if not name.startswith("cuda"):
        return {"name": name}
    import torch  # not needed for the CPU

    properties = torch.cuda.get_device_properties(name)
    return {
        "name": name,
        "gpu": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "memory": properties.total_memory,
        "driver": _nvidia_driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _processor() -> str:
    """Return the processor's model, from /proc/cpuinfo if it exists."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith(MODEL_KEY)]
    return models[0] if models else platform.processor() or platform.machine()


def _nvidia_driver() -> str | None:
    """Return the version of NVIDIA's driver; None if unknown."""
    try:
        result = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.splitlines()[0].strip() if result.stdout.strip() else None
