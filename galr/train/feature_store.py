"""The stored features of frozen encoders, retrieved in batches by the rows of their images or by their sentences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from galr.errors import DataError, StoreError
from galr.io.formats import Features
from galr.model.galr import ImageFeatures
from galr.train.image_store import Rows

BLOCK_ROWS = 512  # images whose features are read at a time


class FeatureStore:
    """What a frozen image encoder says of the images of a dataset under each of its fixed views.

    Args:
        tables: (images, views, …) float16 each, in the open file.
        rows: rows of the images that will be used, in any order, repeats allowed.
        device: where batches go.
        max_bytes: tables up to this size are kept on the device; larger ones are read batch by batch.

    Attributes:
        views: number of views of each image.
        device: where batches go.
    """

    def __init__(
        self, tables: Sequence[h5py.Dataset], rows: Rows, device: torch.device, *, max_bytes: int
    ) -> None:
        self.views = int(tables[0].shape[1])
        self.device = device
        self._tables = tables
        kept = np.unique(np.asarray(rows, np.int64))
        size = sum(len(kept) * int(np.prod(table.shape[1:])) * 2 for table in tables)
        self._kept: list[Tensor] | None = None
        if size <= max_bytes:
            self._index = np.full(tables[0].shape[0], -1, np.int64)
            self._index[kept] = np.arange(len(kept))
            self._kept = [torch.from_numpy(_read_rows(table, kept)).to(device) for table in tables]

    def batch(self, rows: Rows, views: np.ndarray | int) -> ImageFeatures:
        """The features of some images.

        Args:
            rows: (B,) int, rows of the images, repeats allowed.
            views: (B,) int, the view of each image, or one for all.

        Returns:
            Tensors of B rows, float32, on the device.
        """
        index = np.asarray(rows, np.int64)
        chosen = np.broadcast_to(np.asarray(views, np.int64), index.shape)
        if self._kept is not None:
            at = torch.from_numpy(self._index[index]).to(self.device)
            view = torch.from_numpy(np.array(chosen)).to(self.device)
            return tuple(table[at, view].float() for table in self._kept)
        return tuple(
            torch.from_numpy(
                np.stack([table[row, view] for row, view in zip(index, chosen, strict=True)])
            )
            .to(self.device)
            .float()
            for table in self._tables
        )


def _read_rows(table: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """Read rows of a table, block by block: picking them one by one takes h5py minutes for thousands.

    Args:
        table: (images, views, …) float16.
        rows: (kept,) int64, ascending.

    Returns:
        (kept, views, …) float16.
    """
    kept = np.empty((len(rows), *table.shape[1:]), table.dtype)
    for start in range(0, table.shape[0], BLOCK_ROWS):
        first, last = np.searchsorted(rows, (start, start + BLOCK_ROWS))
        if first < last:
            kept[first:last] = table[start : start + BLOCK_ROWS][rows[first:last] - start]
    return kept


def open_image_features(
    file: Features, rows: Rows, device: torch.device, *, max_bytes: int, last_map: bool = True
) -> FeatureStore:
    """Open the image features of an open features.h5.

    Args:
        file: the file; it must stay open.
        rows: rows of the images that will be used.
        device: where batches go.
        max_bytes: largest memory for features.
        last_map: whether to give the last map too, where it is stored beside what is pooled.

    Raises:
        StoreError: the file has none.
    """
    if file.pooled is not None:
        tables = [file.pooled.pooled]
        if last_map and file.last_map is not None:
            tables.append(file.last_map.map)
        return FeatureStore(tables, rows, device, max_bytes=max_bytes)
    if file.maps is None:
        raise StoreError(f"{file.path} holds no features of images; {file.remake_hint(file.path)}")
    maps = (file.maps.map4, file.maps.map8, file.maps.map16, file.maps.map32)
    return FeatureStore(maps, rows, device, max_bytes=max_bytes)


class SentenceFeatureStore:
    """What a frozen sentence encoder says of the distinct sentences of a dataset.

    Args:
        file: an open features.h5.

    Raises:
        StoreError: it has no features of sentences.
    """

    def __init__(self, file: Features) -> None:
        if file.text is None:
            raise StoreError(
                f"{file.path} holds no features of sentences; {file.remake_hint(file.path)}"
            )
        self._path = file.path
        self._row_of = {sentence: row for row, sentence in enumerate(file.text.sentences)}
        self._features = torch.from_numpy(file.text.features[:])

    def features(self, sentences: Sequence[str]) -> Tensor:
        """The features of some sentences: (B, width) float32 on the CPU.

        Raises:
            DataError: a sentence is not among those of the dataset.
        """
        try:
            rows = [self._row_of[sentence] for sentence in sentences]
        except KeyError as error:
            raise DataError(
                f"{self._path} has no features of the sentence {error}; run snakemake again"
            ) from error
        return self._features[rows].float()


def check_features(
    path: Path, provenance: dict[str, Any], dataset_sha256: str, settings: dict[str, Any]
) -> None:
    """Check that stored features are of a dataset and of an encoder.

    Args:
        path: features.h5, for messages.
        provenance: its provenance.
        dataset_sha256: of dataset.h5.
        settings: what the encoder is made of.

    Raises:
        DataError: the features are of another dataset.
        StoreError: they are of another encoder or of other views.
    """
    if provenance["dataset_sha256"] != dataset_sha256:
        raise DataError(f"{path} is of another dataset.h5; run snakemake again")
    for key, value in settings.items():
        if key in ("weights", "text_weights"):  # where they lay; state_sha256 says what they are
            continue
        if (stored := provenance["settings"].get(key)) != value:
            raise StoreError(
                f"{path} holds features with {key} {stored}, and this model has {value};"
                " give features of the same encoder, or run snakemake again"
            )
