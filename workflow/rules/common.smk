"""Behind the rooms: the config is held against its schema, and small functions answer the rules.

A mistake in the config, a dataset file or a detector file ends here:
one line, exit code 2, no job started.
"""

import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from galr.config import check, override
from galr.data.dataset_file import read_dataset_file
from galr.errors import ConfigError, GalrError
from galr.regions.detector import read_detector

RECIPE = {  # bump a stage's number when its code would give other numbers from the same input
    "draw": 1,
    "data": 1,
    "train_detector": 1,
    "regions": 1,
    "graphs": 1,
    "folds": 1,
    "train": 1,
    "similarity": 1,
    "evaluate": 1,
    "tabulate": 1,
    "report": 1,
}


def checked_variants():
    """Each variant that runs: the config's sections under its own changes."""
    unknown = [name for name in config["run"] if name not in config["variants"]]
    if unknown:
        known = ", ".join(config["variants"])
        raise ConfigError(
            f"run: variant '{unknown[0]}' is unknown; choose from {known}"
        )
    sections = {part: config[part] for part in ("model", "train")}
    return {
        name: override(sections, config["variants"][name]) for name in config["run"]
    }


def checked_detector():
    """The detector that runs, and that what it trains on is known."""
    name = config["regions"]["detector"]
    if name not in DETECTORS:
        known = ", ".join(sorted(DETECTORS))
        raise ConfigError(f"regions.detector: '{name}' is unknown; choose from {known}")
    training = DETECTORS[name].training
    if training and training.dataset and training.dataset not in DATASETS:
        known = ", ".join(sorted(DATASETS))
        raise ConfigError(
            f"detector {name}: train.dataset '{training.dataset}' is unknown; choose from {known}"
        )
    return DETECTORS[name]


try:
    check(
        config, Path(workflow.basedir) / "workflow/schemas/config.schema.yaml", "config"
    )
    DATASETS = {
        path.stem: read_dataset_file(path)
        for path in Path("config/datasets").glob("*.yaml")
    }
    DETECTORS = {
        path.stem: read_detector(path)
        for path in Path("config/detectors").glob("*.yaml")
    }
    VARIANTS = checked_variants()
    DETECTOR = checked_detector()
except GalrError as error:
    print(f"galr: {type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(2)

FOLDS = range(config["folds"]["count"])


wildcard_constraints:
    dataset="|".join(DATASETS),
    detector="|".join(DETECTORS),
    variant="|".join(VARIANTS),
    fold=r"\d+",


def as_flags(section):
    """Render one config section as quoted command-line flags, in an order that no overlay changes."""
    return " ".join(
        as_flag(f"--{key.replace('_', '-')}", section[key]) for key in sorted(section)
    )


def as_flag(flag, value):
    """Render one key: `--x`, `--no-x`, `--x 1 2 3`, `--x none` or `--x value`."""
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    values = value if isinstance(value, list) else ["none" if value is None else value]
    return " ".join([flag, *(shlex.quote(str(each)) for each in values)])


def without(section, *keys):
    """A section less the keys that another rule takes."""
    return {key: value for key, value in section.items() if key not in keys}


def names_where(files, answer):
    """A wildcard constraint: the datasets or detectors of which something is true, or nothing."""
    return "|".join(name for name, file in files.items() if answer(file)) or "(?!)"


def is_trained(detector):
    """Whether this detector is trained here."""
    return detector.training is not None


def is_published(detector):
    """Whether this detector's weights are fetched."""
    return detector.url is not None


def is_drawn(dataset):
    """Whether the package draws this dataset itself."""
    return dataset.drawn is not None


def is_archived(dataset):
    """Whether this dataset comes as archives."""
    return bool(dataset.archives)


def archives_of(wildcards):
    """The downloads a dataset needs."""
    return expand(
        "resources/{dataset}/archives/{archive}",
        dataset=wildcards.dataset,
        archive=[archive.file for archive in DATASETS[wildcards.dataset].archives],
    )


def source_of(wildcards):
    """Where an archive lies and what it hashes to: a change of these, and of nothing else, fetches anew."""
    return asdict(DATASETS[wildcards.dataset].archive(wildcards.archive))


def folder_of(dataset):
    """Where a dataset's pictures lie: its own folder in place, or what was unpacked or drawn."""
    return DATASETS[dataset].folder or f"resources/{dataset}/files"


def folder_of_dataset(wildcards):
    """The pictures of the dataset at hand."""
    return folder_of(wildcards.dataset)


def folder_of_boxes(wildcards):
    """The pictures and boxes that a detector trains on."""
    recipe = DETECTORS[wildcards.detector].recipe()
    return recipe.folder or folder_of(recipe.dataset)


def weights_source_of(wildcards):
    """Where a detector's weights lie and what they hash to."""
    detector = DETECTORS[wildcards.detector]
    return {"url": detector.url, "sha256": detector.sha256}


def weights_of(detector):
    """A detector's weights: the user's own file in place, or what is fetched or trained here."""
    return detector.file or f"resources/detectors/{detector.name}/checkpoint.pth"


def draw_flags(wildcards):
    """How the demo is drawn; its dataset file says."""
    return as_flags(asdict(DATASETS[wildcards.dataset].drawn))


def data_flags(wildcards):
    """The data section, less what unpacking takes."""
    return as_flags(without(config["data"], "unpack_limit_gb"))


def fold_flags(wildcards):
    """The folds section and the seed."""
    return as_flags(config["folds"] | {"seed": config["seed"]})


def has_local_branch(variant):
    """Whether a variant looks at regions at all."""
    return VARIANTS[variant]["model"]["branches"] != "global"


def graphs_of(wildcards):
    """The graphs, for a variant that looks at them."""
    return "results/{dataset}/graphs.h5" if has_local_branch(wildcards.variant) else []


def graphs_flag(wildcards):
    """Where a variant finds its graphs."""
    return as_flag(
        "--graphs",
        graphs_of(wildcards).format(**wildcards) if graphs_of(wildcards) else None,
    )


def train_flags(wildcards):
    """The model and train sections as this variant has them, and the seed."""
    variant = VARIANTS[wildcards.variant]
    return as_flags(variant["model"] | variant["train"] | {"seed": config["seed"]})


def evaluate_flags(wildcards):
    """The evaluate section and the seed of the bootstrap."""
    return as_flags(config["evaluate"] | {"seed": config["seed"]})


def tabulate_flags(wildcards):
    """What the intervals of averaged folds need."""
    section = config["evaluate"]
    return as_flags({key: section[key] for key in ("resamples", "confidence")})


def of_every_fold(file):
    """A file of each variant and fold, in the order of the table."""
    return expand(
        "results/{{dataset}}/{variant}/fold{fold}/{file}",
        variant=VARIANTS,
        fold=FOLDS,
        file=file,
    )
