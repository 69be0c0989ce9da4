"""Write dataset.h5: the decoded images, their sentences, and the hashes of both."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr.data import download
from galr.data.dataset_spec import DatasetSpec
from galr.data.validate import MatchedImage, Problem
from galr.errors import DataError
from galr.io.csv_io import write_csv
from galr.io.formats import Dataset
from galr.io.images import load_resized
from galr.io.pixel_options import PixelOptions
from galr.io.pixel_values import ReadingSummary
from galr.progress import ProgressBar
from galr.provenance import code_versions, file_sha256


@dataclass(frozen=True)
class StoredImages:
    """What was stored.

    Attributes:
        images: in order.
        corrupt: those that could not be decoded.
        sha256: of all pixels in order.
        readings: what the images were read as.
    """

    images: list[MatchedImage]
    corrupt: list[Problem]
    sha256: str
    readings: ReadingSummary


def store_images(
    file: Dataset,
    folder: Path,
    images: Sequence[MatchedImage],
    size: int,
    pixels: PixelOptions,
) -> StoredImages:
    """Decode every image and store it with its name, file, split and original size.

    One image is in memory at a time; each is one chunk of the file.

    Args:
        file: an empty dataset file.
        folder: the folder that contains the image files.
        images: the images to store, in this order; those that cannot be decoded are left out.
        size: width and height of a stored image, in pixels.
        pixels: the dataset's bands and range.
    """
    shape = (len(images), size, size, 3)
    table = file.allocate(Dataset.images, shape)
    digest = hashlib.sha256()
    kept: list[MatchedImage] = []
    corrupt: list[Problem] = []
    sizes: list[tuple[int, int]] = []
    readings = ReadingSummary()
    for image in ProgressBar(images, desc="images", unit="image", disable=None):
        try:
            decoded = load_resized(folder / image.file, size, pixels)
        except DataError as error:
            corrupt.append(Problem(image.name, "corrupt_image", str(error)))
            continue
        table[len(kept)] = decoded.pixels
        digest.update(decoded.pixels.tobytes())
        readings.add(decoded.reading)
        readings.look_at(str(image.file), decoded.pixels)
        kept.append(image)
        sizes.append((decoded.width, decoded.height))
    table.resize(len(kept), axis=0)
    file.write(
        sizes=np.array(sizes, np.int32).reshape(-1, 2),
        names=[image.name for image in kept],
        files=[str(image.file) for image in kept],
        splits=[image.split for image in kept],
    )
    return StoredImages(kept, corrupt, digest.hexdigest(), readings)


def store_sentences(file: Dataset, images: Sequence[MatchedImage]) -> str:
    """Store the sentences of all images, and the image of each sentence.

    Returns:
        SHA-256 of the sentences in order, a NUL after each.
    """
    sentences = [sentence for image in images for sentence in image.sentences]
    counts = [len(image.sentences) for image in images]
    image_of_sentence = np.repeat(np.arange(len(images), dtype=np.int32), counts)
    file.write(sentences=sentences, image_of_sentence=image_of_sentence)
    return hashlib.sha256("".join(f"{sentence}\0" for sentence in sentences).encode()).hexdigest()


def write_report(path: Path, dropped: Iterable[Problem]) -> None:
    """Write `item,kind,reason` of everything that was dropped; the header alone if nothing was."""
    rows = ((problem.item, problem.kind, problem.reason) for problem in dropped)
    write_csv(path, ("item", "kind", "reason"), rows)


def summarize(images: Sequence[MatchedImage], dropped: Sequence[Problem], num_files: int) -> str:
    """Describe in one line what was stored, what was dropped, and how many image files were not used.

    Args:
        images: the stored images.
        dropped: the problems that were left out.
        num_files: number of image files in the folder.
    """
    splits = Counter(image.split for image in images)
    kinds = Counter(problem.kind for problem in dropped)
    return (
        f"{len(images)} images ({', '.join(f'{n} {split}' for split, n in splits.items())}),"
        f" {sum(len(image.sentences) for image in images)} sentences;"
        f" dropped: {', '.join(f'{n} {kind}' for kind, n in kinds.items()) or 'nothing'};"
        f" {num_files - len(images)} of {num_files} image files not used"
    )


def dataset_provenance(
    dataset: DatasetSpec, folder: Path, layout_files: Iterable[Path], size: int
) -> dict[str, Any]:
    """Describe the source of a dataset, without the hashes of what is stored.

    Args:
        dataset: the dataset file.
        folder: the folder of its files; SHA256SUMS beside it may have the hashes of its archives.
        layout_files: its annotation files.
        size: width and height of a stored image, in pixels.
    """
    archives = download.read_checksums(folder.parent / "SHA256SUMS")
    used = {archive.file for archive in dataset.archives}
    return {
        "dataset": dataset.name,
        "title": dataset.title,
        "sources": {file: archives[file] for file in sorted(used & archives.keys())}
        | {str(file.relative_to(folder)): file_sha256(file) for file in layout_files},
        "size": size,
        "pixels": dataset.pixels.to_dict(),
        "versions": code_versions(),
    }
