"""NumPy files: arrays of any source are read without unpickling, ours are written whole or not at all."""

from pathlib import Path

import numpy as np

from galr.errors import DataError
from galr.io.atomic import atomic_write


def read_array(path: Path) -> np.ndarray:
    """Open a `.npy` file as a memory map; its numbers are read when they are used.

    Raises:
        DataError: the file is missing, empty, cut short, not a `.npy` file, or holds Python objects.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give a .npy written by numpy.save") from error
    except Exception as error:  # NumPy raises many kinds on a damaged header
        raise DataError(
            f"{path} is no whole .npy file of numbers ({error}); write it again with numpy.save"
        ) from error


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array as `.npy` under exactly this name.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays by name as `.npz` under exactly this name.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # NumPy's own names could be among them
