"""The one place where a device's name becomes a device."""

import torch

from galr.errors import DeviceError


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device that this machine has.

    `auto` is the first GPU, or the CPU where there is none.

    Raises:
        DeviceError: the device was asked for by name and is not there.
    """
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
