"""Read the config, the dataset files and the detector files, and check them before any job starts.

A mistake ends with one line and exit code 2. Only a --configfile that is no YAML cannot: Snakemake reads it before any
line of the workflow, and says in two lines that it is not valid.
"""

import sys
from pathlib import Path

from galr.config import check_schema, load_variants, load_yaml
from galr.data.dataset_spec import read_dataset_spec
from galr.errors import ConfigError, GalrError
from galr.features.options import features_name, stored_encoders
from galr.regions.detector_spec import load_detector, read_detector_spec
from galr.targets import one_of, read_specs, unknown_target
from galr.train.options import check_variants

CODE_VERSION = {  # raise a rule's number when its code would give other numbers from the same input
    "draw": 1,
    "unpack": 1,
    "data": 2,
    "tile_dota": 2,
    "train_detector": 2,
    "regions": 2,
    "propose_regions": 1,
    "import_regions": 2,
    "graphs": 2,
    "import_graphs": 2,
    "features": 1,
    "folds": 1,
    "train": 3,
    "similarity": 4,
    "evaluate": 5,
    "aggregate": 2,
    "report": 4,
}


def stop(error):
    """End with an explained error: one line, exit code 2."""
    line = " ".join(str(error).split())
    print(f"galr: {type(error).__name__}: {line}", file=sys.stderr)
    sys.exit(2)


try:
    if Path("config/config.yaml").exists() and not isinstance(
        load_yaml(Path("config/config.yaml")), dict
    ):
        raise ConfigError("config/config.yaml holds no keys; restore it")
except GalrError as error:
    stop(error)


configfile: "config/config.yaml"


try:
    check_schema(
        config, Path(workflow.basedir) / "workflow/schemas/config.schema.yaml", "config"
    )
    DATASET_SPECS = read_specs(Path("config/datasets"), read_dataset_spec)
    DETECTOR_SPECS = read_specs(Path("config/detectors"), read_detector_spec)
    DATASETS, DETECTORS = DATASET_SPECS.usable, DETECTOR_SPECS.usable
    VARIANTS = load_variants(config)
    check_variants(VARIANTS)
    if config["regions"]["detector"] in DETECTOR_SPECS.errors:
        raise DETECTOR_SPECS.errors[config["regions"]["detector"]]
    DETECTOR = load_detector(
        config["regions"]["detector"], DETECTORS, {**DATASETS, **DATASET_SPECS.errors}
    )
    for name in config["datasets"]:
        if name not in DATASETS:
            raise ConfigError(f"datasets: {DATASET_SPECS.explain(name)}")
except GalrError as error:
    stop(error)

FOLDS = range(config["folds"]["count"])
STORED = stored_encoders(VARIANTS)
ENCODERS = {  # the frozen encoders of all variants, by the name of their features
    features_name(part, options): {"part": part} | options
    for encoders in STORED.values()
    for part, options in encoders.items()
}


wildcard_constraints:
    dataset=one_of(DATASETS),
    detector=one_of(DETECTORS),
    variant=one_of(VARIANTS),
    encoder=one_of(ENCODERS),
    fold=one_of(str(fold) for fold in FOLDS),
    unknown=unknown_target(DATASETS, DETECTORS, VARIANTS, len(FOLDS)),


def matching_names(named, condition):
    """A wildcard constraint: the names of those for which the condition holds."""
    return one_of(name for name, spec in named.items() if condition(spec))
