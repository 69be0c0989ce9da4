"""Where training computes: in one process or several, and in which precision."""

from collections.abc import Callable, Mapping
from typing import Literal, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import Tensor
from torch.utils import deterministic

from galr.errors import DeviceError
from galr.train.options import Precision

FABRIC_PRECISION: dict[Precision, Literal["32-true", "bf16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
}
SAVE_CHECK_EVERY = 50  # steps between two agreements of several processes on whether to save


def launch_fabric(device: torch.device, processes: int, precision: Precision) -> Fabric:
    """Start the processes that train together; each of them runs the lines that follow.

    The same seed gives the same numbers on the same machine. On a GPU, deterministic algorithms are used
    where they exist.

    Args:
        device: where to compute; several processes use the first devices of its type.
        processes: how many processes; on a GPU each has one of its own.
        precision: of the encoders in a step; weights and loss are always float32.

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
        # torch has no types for it; filling memory that is overwritten anyway only costs time
        deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    fabric = Fabric(
        accelerator=device.type,
        devices=[device.index or 0] if cuda and processes == 1 else processes,
        strategy="ddp" if processes > 1 else "auto",
        precision=FABRIC_PRECISION[precision],
        # Inside a cluster's job of one task Fabric would look for its processes there; we start them.
        plugins=LightningEnvironment(),
    )
    fabric.launch()
    return fabric


def all_gather(fabric: Fabric, tensor: Tensor, *, gradients: bool = False) -> Tensor:
    """Gather a tensor of each process in all of them.

    Args:
        fabric: a launched one.
        tensor: (...), of the same shape in each process.
        gradients: whether gradients flow back to the process that each part came from.

    Returns:
        (processes, ...) in every process.
    """
    return cast(Tensor, fabric.all_gather(tensor, sync_grads=gradients))


def broadcast_decision(fabric: Fabric, decide: Callable[[], bool], step: int) -> bool:
    """Process 0's decision, in all processes.

    Several processes have to wait for it, so they do at every `SAVE_CHECK_EVERY`th step only.
    """
    if fabric.world_size == 1:
        return decide()
    return step % SAVE_CHECK_EVERY == 0 and bool(fabric.broadcast(decide()))


def gather_random_states(fabric: Fabric) -> list[dict[str, Tensor]]:
    """The states of torch's random generators in all processes, by rank; dropout draws from them."""
    states = {"cpu": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(fabric.device)
    if fabric.world_size == 1:
        return [states]
    gathered = {name: all_gather(fabric, state).cpu() for name, state in states.items()}
    return [
        {name: by_rank[rank] for name, by_rank in gathered.items()}
        for rank in range(fabric.world_size)
    ]


def restore_random_states(states: Mapping[str, Tensor]) -> None:
    """Set torch's random generators of this process to saved states."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
