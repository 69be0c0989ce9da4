"""Read the config, the dataset files and the detector files, and check them before any job starts.

A mistake ends here with one line and exit code 2.
"""

import sys
from pathlib import Path

from galr.config import check_schema, load_variants
from galr.data.dataset_spec import read_dataset_spec
from galr.errors import GalrError
from galr.regions.detector_spec import load_detector, read_detector_spec

CODE_VERSION = {  # raise a rule's number when its code would give other numbers from the same input
    "draw": 1,
    "data": 1,
    "tile_dota": 1,
    "train_detector": 1,
    "regions": 1,
    "import_regions": 1,
    "graphs": 2,
    "import_graphs": 2,
    "folds": 1,
    "train": 2,
    "similarity": 3,
    "evaluate": 3,
    "aggregate": 1,
    "report": 2,
}

try:
    check_schema(
        config, Path(workflow.basedir) / "workflow/schemas/config.schema.yaml", "config"
    )
    DATASETS = {
        path.stem: read_dataset_spec(path)
        for path in Path("config/datasets").glob("*.yaml")
    }
    DETECTORS = {
        path.stem: read_detector_spec(path)
        for path in Path("config/detectors").glob("*.yaml")
    }
    VARIANTS = load_variants(config)
    DETECTOR = load_detector(config["regions"]["detector"], DETECTORS, DATASETS)
except GalrError as error:
    print(f"galr: {type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(2)

FOLDS = range(config["folds"]["count"])


wildcard_constraints:
    dataset="|".join(DATASETS),
    detector="|".join(DETECTORS),
    variant="|".join(VARIANTS),
    fold=r"\d+",


def matching_names(named, condition):
    """A wildcard constraint: the names of those for which the condition holds, or one that matches nothing."""
    return "|".join(name for name, spec in named.items() if condition(spec)) or "(?!)"
