"""Where training computes: one process or several, one precision or another."""

from typing import Literal, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import Tensor
from torch.utils import deterministic

from galr.errors import DeviceError

Precision = Literal["fp32", "bf16"]
FABRIC_PRECISION: dict[Precision, Literal["32-true", "bf16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
}


def launch_fabric(device: torch.device, processes: int, precision: Precision) -> Fabric:
    """Start the processes that train together; from here on each of them runs the same lines.

    The same seed gives the same numbers on the same machine: on a GPU, too, only algorithms that do so are
    taken, where there are such.

    Args:
        device: where; several processes take the first devices of its kind.
        processes: how many; on a GPU each has one of its own.
        precision: of encoding in the step; weights, loss and everything else are in float32.

    Raises:
        DeviceError: there are fewer GPUs than processes.
    """
    cuda = device.type == "cuda"
    if cuda and processes > torch.cuda.device_count():
        raise DeviceError(
            f"{processes} processes were asked for and this machine has {torch.cuda.device_count()}"
            " CUDA devices; give --processes no more than that"
        )
    if cuda:
        torch.use_deterministic_algorithms(True, warn_only=True)
        deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it is there
    fabric = Fabric(
        accelerator=device.type,
        devices=[device.index or 0] if cuda and processes == 1 else processes,
        strategy="ddp" if processes > 1 else "auto",
        precision=FABRIC_PRECISION[precision],
        plugins=LightningEnvironment(),  # a cluster hands out one task: its processes are ours to start
    )
    fabric.launch()
    return fabric


def all_gather(fabric: Fabric, tensor: Tensor, *, gradients: bool = False) -> Tensor:
    """(…) of each process, alike in shape → (processes, …) of all of them, in each of them."""
    return cast(Tensor, fabric.all_gather(tensor, sync_grads=gradients))
