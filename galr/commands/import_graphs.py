"""Import the representation and adjacency matrices that the authors published, instead of making them.

IN   dataset.h5     the images whose matrices are wanted
     a folder       of the authors' .npy files, detection/representation/RSITMD or RSICD
OUT  graphs.h5      representation (images, n, d), adjacency (images, n, n), mask (images, n); which
                    regions the rows were is not known
     summary.txt    what the matrices look like: one-hot columns, ranges, order, padding, spectrum;
                    also printed

The files hold pickles. They are read as data: nothing in them is run, and what is neither a plain array
nor a list, a number or a text is refused.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from galr import store
from galr.errors import DataError
from galr.graphs.describe_matrices import describe_matrices
from galr.graphs.import_published import collect_matrices, count_unused, to_graphs
from galr.io.safe_npy import safe_load_npy
from galr.options import OptionGroup, option
from galr.provenance import code_versions, file_sha256


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """What comes in and what goes out."""

    dataset: Path = option("dataset.h5")
    folder: Path = option("the folder of .npy files; all of them are read")
    output: Path = option("graphs.h5 to write")
    summary: Path = option("the text file to describe the matrices in")


def run(options: Options) -> None:
    """Read the files, check them, write graphs and what they look like."""
    with store.reading(options.dataset, store.DATASET) as file:
        names, dataset = store.texts(file["names"]), store.provenance(file).get("dataset")
    files = sorted(options.folder.glob("*.npy"))
    if not files:
        raise DataError(
            f"{options.folder} holds no .npy file; put the authors' files of"
            " detection/representation/ there"
        )
    matrices = collect_matrices({path: safe_load_npy(path) for path in files})
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
    with store.writing(options.output, store.GRAPHS, provenance) as file:
        store.write_texts(file, "names", names)
        store.write_arrays(file, **vars(arrays))
    text = "\n".join(lines)
    options.summary.parent.mkdir(parents=True, exist_ok=True)
    options.summary.write_text(f"{text}\n", encoding="utf-8")
    print(text, file=sys.stderr)
