"""Fill dataset.h5: every picture decoded once, sentences beside them, hashes of both."""

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
from galr.progress import ProgressBar
from galr.provenance import code_versions, file_sha256


@dataclass(frozen=True)
class StoredImages:
    """What was stored: images in order, pictures that could not be, SHA-256 of pixels in order."""

    images: list[MatchedImage]
    corrupt: list[Problem]
    sha256: str


def store_images(
    file: Dataset, folder: Path, images: Sequence[MatchedImage], size: int
) -> StoredImages:
    """Decode every picture and store it with its name, file, split and original size.

    One picture is in memory at a time, and one chunk on disk.

    Args:
        file: an empty dataset file.
        folder: what the pictures lie below.
        images: which to store, in this order; those that cannot be decoded are left out.
        size: width and height to store, in pixels.
    """
    shape = (len(images), size, size, 3)
    table = file.allocate(Dataset.images, shape)
    digest = hashlib.sha256()
    kept: list[MatchedImage] = []
    corrupt: list[Problem] = []
    sizes: list[tuple[int, int]] = []
    for image in ProgressBar(images, desc="images", unit="image", disable=None):
        try:
            picture = load_resized(folder / image.file, size)
        except DataError as error:
            corrupt.append(Problem(image.name, "corrupt_image", str(error)))
            continue
        table[len(kept)] = picture.pixels
        digest.update(picture.pixels.tobytes())
        kept.append(image)
        sizes.append((picture.width, picture.height))
    table.resize(len(kept), axis=0)
    file.write(
        sizes=np.array(sizes, np.int32).reshape(-1, 2),
        names=[image.name for image in kept],
        files=[str(image.file) for image in kept],
        splits=[image.split for image in kept],
    )
    return StoredImages(kept, corrupt, digest.hexdigest())


def store_sentences(file: Dataset, images: Sequence[MatchedImage]) -> str:
    """Store every image's sentences and which image each is of.

    Returns:
        SHA-256 of the sentences in order, a NUL after each.
    """
    sentences = [sentence for image in images for sentence in image.sentences]
    counts = [len(image.sentences) for image in images]
    owners = np.repeat(np.arange(len(images), dtype=np.int32), counts)
    file.write(sentences=sentences, image_of_sentence=owners)
    return hashlib.sha256("".join(f"{sentence}\0" for sentence in sentences).encode()).hexdigest()


def write_report(path: Path, dropped: Iterable[Problem]) -> None:
    """Write `item,kind,reason` of everything that was dropped; if nothing was, the header alone."""
    rows = ((problem.item, problem.kind, problem.reason) for problem in dropped)
    write_csv(path, ("item", "kind", "reason"), rows)


def summarize(images: Sequence[MatchedImage], dropped: Sequence[Problem], pictures: int) -> str:
    """Say in a line what was stored, what was dropped, and how many pictures nobody speaks of.

    Args:
        images: what was stored.
        dropped: what was not.
        pictures: how many pictures lie in the folder.
    """
    splits = Counter(image.split for image in images)
    kinds = Counter(offence.kind for offence in dropped)
    return (
        f"{len(images)} images ({', '.join(f'{n} {split}' for split, n in splits.items())}),"
        f" {sum(len(image.sentences) for image in images)} sentences;"
        f" dropped: {', '.join(f'{n} {kind}' for kind, n in kinds.items()) or 'nothing'};"
        f" {pictures - len(images)} of {pictures} pictures not used"
    )


def dataset_provenance(
    dataset: DatasetSpec, folder: Path, layout_files: Iterable[Path], size: int
) -> dict[str, Any]:
    """Say where a dataset comes from, as far as it is known before its pictures are decoded.

    Args:
        dataset: its file.
        folder: where it lies; beside it, archives' hashes may lie in SHA256SUMS.
        layout_files: the files that list its images.
        size: width and height stored, in pixels.
    """
    archives = download.read_checksums(folder.parent / "SHA256SUMS")
    used = {archive.file for archive in dataset.archives}
    return {
        "dataset": dataset.name,
        "title": dataset.title,
        "sources": {file: archives[file] for file in sorted(used & archives.keys())}
        | {str(file.relative_to(folder)): file_sha256(file) for file in layout_files},
        "size": size,
        "versions": code_versions(),
    }
