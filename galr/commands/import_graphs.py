"""Import the representation and adjacency matrices that the authors published, instead of computing them.

IN   dataset.h5     the images whose matrices are imported
     a folder       of the authors' .npy files, detection/representation/RSITMD or RSICD
OUT  graphs.h5      representation (images, n, d), adjacency (images, n, n), mask (images, n); the regions
                    of the rows are not known
     summary.txt    properties of the matrices: one-hot columns, ranges, order, padding, spectrum; also
                    printed

The files hold pickles. They are read as data: nothing in them is run, and anything but plain arrays, lists,
numbers and text is refused.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from galr.data.find_images import image_stem
from galr.data.image_names import ImageNames
from galr.errors import DataError
from galr.graphs.describe_matrices import describe_matrices
from galr.graphs.import_published import collect_matrices, count_unused, to_graphs
from galr.io.atomic import atomic_write
from galr.io.formats import Dataset, Graphs
from galr.io.safe_npy import safe_load_npy
from galr.options import OptionGroup, option
from galr.provenance import code_versions, file_sha256


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Inputs and outputs."""

    dataset: Path = option("dataset.h5")
    folder: Path = option("the folder of .npy files; all of them are read")
    output: Path = option("graphs.h5 to write")
    summary: Path = option("text file to write, with properties of the matrices")


def run(options: Options) -> None:
    """Read the files, check them, write graphs and the properties of the matrices."""
    with Dataset.open(options.dataset) as file:
        names, paths, dataset = file.names, file.files, file.provenance.get("dataset")
    files = sorted(options.folder.glob("*.npy"))
    if not files:
        raise DataError(
            f"{options.folder} holds no .npy file; put the authors' files of"
            " detection/representation/ there"
        )
    images = ImageNames(names, paths)
    matrices = collect_matrices(
        {path: safe_load_npy(path) for path in files},
        lambda name: _find_name(images, names, name),
    )
    arrays = to_graphs(matrices, names)
    lines = describe_matrices(arrays, count_unused(matrices, names))
    provenance = {
        "dataset": dataset,
        "detector": None,
        "regions_sha256": None,
        "settings": {"published": options.folder.resolve().name},
        "files_sha256": {path.name: file_sha256(path) for path in files},
        "columns": [str(column + 1) for column in range(arrays.representation.shape[2])],
        "versions": code_versions(),
    }
    with Graphs.create(options.output, provenance) as file:
        file.write(names=names)
        file.write(**vars(arrays))
    text = "\n".join(lines)
    with atomic_write(options.summary) as partial:
        partial.write_text(f"{text}\n", encoding="utf-8")
    print(text, file=sys.stderr)


def _find_name(images: ImageNames, names: Sequence[str], name: str) -> str:
    """Return the dataset's name of an image, or the stem of one that is not in the dataset or not clear."""
    found = images.find(name)
    return names[found[0]] if len(found) == 1 else image_stem(name)
