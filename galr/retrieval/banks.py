"""The banks of training queries that the stage similarity stores beside its matrices."""

from dataclasses import dataclass
from pathlib import Path

import h5py

from galr import store
from galr.errors import ConfigError
from galr.retrieval.qbnorm import Bank

NEEDS = (
    "and qbnorm needs the embeddings of training images and sentences; give the similarity.h5 that"
    " `galr similarity --bank` writes, or leave qbnorm out of --rerank"
)


@dataclass(frozen=True, eq=False)
class Banks:
    """Training images before the sentences of a part, and training sentences before its images.

    Attributes:
        test: of the test split.
        validation: of the fold's validation images.
    """

    test: tuple[Bank, Bank]
    validation: tuple[Bank, Bank]


def read_banks(path: Path) -> Banks:
    """Read the banks of a similarity file.

    Raises:
        StoreError: the file is unusable.
        ConfigError: it is somebody's bare matrix, or was made without a bank.
    """
    if path.suffix not in (".h5", ".hdf5"):
        raise ConfigError(f"{path} is a bare matrix, {NEEDS}")
    with store.reading(path, store.SIMILARITY) as file:
        if "bank" not in file:
            raise ConfigError(f"{path} was made with --no-bank, {NEEDS}")
        return Banks(_of(file, file), _of(file, file["validation"]))


def _of(file: h5py.File, part: h5py.Group) -> tuple[Bank, Bank]:
    """The same bank, before the candidates of one part."""
    bank = file["bank"]
    return (
        Bank(bank["image_embeddings"][:], part["sentence_embeddings"][:]),
        Bank(bank["sentence_embeddings"][:], part["image_embeddings"][:]),
    )
