"""The devices to compute on, by name."""

from typing import TYPE_CHECKING

from galr.errors import DeviceError

if TYPE_CHECKING:
    import torch


def resolve_device(name: str) -> "torch.device":
    """The device of a name, if this machine has it.

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` is the first GPU, or the CPU if there is none.

    Raises:
        DeviceError: the name is unknown, or this machine has no such device.
    """
    import torch  # takes seconds, and whoever only names a device does without

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"'{name}' is no device; choose auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"{name} was asked for and this machine has {torch.cuda.device_count()} CUDA devices;"
            " choose auto or cpu"
        )
    return device
