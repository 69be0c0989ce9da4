"""What a result was computed on: the machine and the device, as far as they say."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

CPUS = Path("/proc/cpuinfo")
MODEL = "model name"


def machine() -> dict[str, Any]:
    """System, processor, and how many of its cores this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"platform": platform.platform(), "processor": _processor(), "cores": usable}


def device(name: str) -> dict[str, Any]:
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
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _processor() -> str:
    """The processor's model, by Linux's word where there is one."""
    lines = CPUS.read_text(encoding="utf-8").splitlines() if CPUS.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith(MODEL)]
    return named[0] if named else platform.processor() or platform.machine()


def _driver() -> str | None:
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
