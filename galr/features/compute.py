"""Compute the features of frozen encoders, and write features.h5."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import torch

from galr.data.subwords import open_vocabulary
from galr.errors import ConfigError, OutputError
from galr.features.encoders import (
    ImageEncoder,
    build_image_encoder,
    build_sentence_encoder,
    image_settings,
    text_settings,
)
from galr.features.fold_norms import fold_norms
from galr.features.options import MAX_VIEWS, ImageEncoderOptions, TextEncoderOptions
from galr.features.views import resize, show_view
from galr.io.formats import Dataset, FeatureMaps, Features, LastMap, PooledFeatures
from galr.model.galr import PixelStatistics
from galr.model.text import pad_tokens
from galr.progress import ProgressBar
from galr.provenance import code_versions, file_sha256

HALF = 2  # bytes of a number in half precision


@torch.inference_mode()
def write_image_features(
    dataset: Path,
    options: ImageEncoderOptions,
    output: Path,
    *,
    batch_size: int,
    device: torch.device,
    last_map: bool = False,
) -> None:
    """Compute what an image encoder says of every image under each fixed view.

    Args:
        dataset: dataset.h5.
        options: the encoder and the number of views.
        output: features.h5 to write.
        batch_size: images at a time.
        device: where to compute.
        last_map: whether to store the last map as well, for `model.appearance` and `model.attention`.

    Raises:
        ConfigError: an option is unknown, or the stored images are smaller than the encoder's input.
        OutputError: the disk has too little space.
        StoreError: a file is damaged.
    """
    if not 1 <= options.views <= MAX_VIEWS:
        raise ConfigError(f"model.views must be from 1 to {MAX_VIEWS}, got {options.views}")
    encoder = build_image_encoder(options, last_map=last_map).to(device)
    statistics = PixelStatistics(encoder.pixel_mean, encoder.pixel_std)
    with Dataset.open(dataset) as data:
        names, images = data.names, data.images
        if images.shape[1] < options.input_size:
            raise ConfigError(
                f"model.input_size is {options.input_size} and data.size {images.shape[1]};"
                " input_size is at most size"
            )
        shapes = _shapes(encoder, options.input_size, device)
        numbers = sum(int(np.prod(shape)) for shape in shapes)
        total = len(names) * options.views * numbers * HALF
        check_space(output, total)
        print(
            f"{len(names)} images, {options.views} views of {numbers:,} numbers: {total / 1e9:.2f} GB on disk, and in"
            " memory while training",
            flush=True,
        )
        provenance = {
            "dataset_sha256": file_sha256(dataset),
            "settings": image_settings(options, encoder),
            "device": str(device),
            "threads": torch.get_num_threads(),
            "batch": batch_size,
            "versions": code_versions(),
        }
        shape = (2, 3, options.input_size, options.input_size)
        example = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
        folded = fold_norms(encoder, example)
        with Features.create(output, provenance) as file:
            file.write(names=names)
            tables = _create_tables(file, len(names), options.views, shapes)
            with ProgressBar(
                total=len(names) * options.views, desc="features", unit="view", disable=None
            ) as bar:
                for start in range(0, len(names), batch_size):
                    stop = min(start + batch_size, len(names))
                    pixels = torch.from_numpy(images[start:stop]).permute(0, 3, 1, 2).to(device)
                    parts: list[list[np.ndarray]] = [[] for _ in tables]
                    for view in range(options.views):
                        shown = resize(show_view(pixels, view), options.input_size, statistics)
                        for part, values in zip(parts, folded(shown), strict=True):
                            part.append(values.half().cpu().numpy())
                        bar.update(stop - start)
                    for table, part in zip(tables, parts, strict=True):
                        table[start:stop] = np.stack(part, axis=1)  # a chunk is written once


@torch.inference_mode()
def write_text_features(
    dataset: Path,
    options: TextEncoderOptions,
    output: Path,
    *,
    max_words: int,
    batch_size: int,
    device: torch.device,
) -> None:
    """Compute what a sentence encoder says of every distinct sentence.

    Args:
        dataset: dataset.h5.
        options: the encoder.
        output: features.h5 to write.
        max_words: longer sentences are cut; counted in the encoder's own tokens.
        batch_size: sentences at a time.
        device: where to compute.

    Raises:
        ConfigError: the encoder does not exist.
        OutputError: the file cannot be written.
        StoreError: a file is damaged.
    """
    encoder, tokenizer = build_sentence_encoder(options, max_words)
    encoder = encoder.to(device)
    with Dataset.open(dataset) as data:
        names, sentences = data.names, list(dict.fromkeys(data.sentences))
    rows = open_vocabulary((), tokenizer).encode(sentences, max_words)
    features = torch.empty(len(rows), encoder.width, dtype=torch.float16)
    by_length = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    for start in ProgressBar(
        range(0, len(rows), batch_size), desc="sentences", unit="batch", disable=None
    ):
        some = by_length[start : start + batch_size]
        token_ids, lengths = pad_tokens([rows[row] for row in some])
        features[some] = encoder(token_ids.to(device), lengths).half().cpu()
    provenance = {
        "dataset_sha256": file_sha256(dataset),
        "settings": text_settings(options, encoder, max_words),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "batch": batch_size,
        "versions": code_versions(),
    }
    with Features.create(output, provenance) as file:
        file.write(names=names)
        group = Features.text.create(file)
        group.write(sentences=sentences, features=features.numpy())


def check_space(output: Path, size: int) -> None:
    """Check that a file fits on its disk before it is computed.

    Raises:
        OutputError: it does not.
    """
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OutputError(
            f"{output} will take {size / 1e9:.2f} GB, and its disk has {free / 1e9:.2f} GB free; set model.views to"
            " less, or make space"
        )


def _shapes(encoder: ImageEncoder, input_size: int, device: torch.device) -> list[tuple[int, ...]]:
    """Shapes of the features of one image under one view."""
    blank = torch.zeros(1, 3, input_size, input_size, device=device)
    return [tuple(table.shape[1:]) for table in encoder(blank)]


def _create_tables(
    file: Features, num_images: int, views: int, shapes: list[tuple[int, ...]]
) -> list[h5py.Dataset]:
    """Create a table for each of the four maps; or one for what is pooled, and one for the last map if there is one."""
    groups: list[PooledFeatures | FeatureMaps | LastMap]
    if len(shapes) > 2:
        groups = [Features.maps.create(file)]
    else:
        groups = [Features.pooled.create(file)]
        groups += [Features.last_map.create(file) for _ in shapes[1:]]
    tables = [(group, table) for group in groups for table in group.tables().values()]
    return [
        group.allocate(table, (num_images, views, *shape))
        for (group, table), shape in zip(tables, shapes, strict=True)
    ]
