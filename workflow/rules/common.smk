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
from galr.regions.detector import Detector, read_detector_file

RECIPE = {  # bump a stage's number when its code would give other numbers from the same input
    "draw": 1,
    "data": 1,
    "cut_dota": 1,
    "train_detector": 1,
    "regions": 1,
    "import_regions": 1,
    "graphs": 1,
    "import_graphs": 1,
    "folds": 1,
    "train": 2,
    "similarity": 3,
    "evaluate": 3,
    "tabulate": 1,
    "report": 2,
}


def checked_variants():
    """Each variant that runs: the config's sections under its own changes."""
    unknown = [name for name in config["run"] if name not in config["variants"]]
    if unknown:
        known = ", ".join(config["variants"])
        raise ConfigError(
            f"run: variant '{unknown[0]}' is unknown; choose from {known}"
        )
    sections = {part: config[part] for part in ("graphs", "model", "train")}
    variants = {
        name: override(sections, config["variants"][name]) for name in config["run"]
    }
    for name, variant in variants.items():
        folder = variant["model"]["text_weights"]
        if folder != "none" and not Path(folder).is_dir():
            raise ConfigError(
                f"variant {name}: model.text_weights: no folder {folder}; put dictionary.txt, utable.npy"
                " and uni_skip.npz of skip-thoughts there, or set text_weights: none to start from"
                " random numbers"
            )
    return variants


def checked_detector():
    """The detector that runs, and that what it trains on is known."""
    name = config["regions"]["detector"]
    if name not in DETECTORS:
        known = ", ".join(sorted(DETECTORS))
        raise ConfigError(f"regions.detector: '{name}' is unknown; choose from {known}")
    detector = DETECTORS[name]
    source = detector.training.dataset if is_trained(detector) else None
    if source is not None and source not in DATASETS:
        known = ", ".join(sorted(DATASETS))
        raise ConfigError(
            f"detector {name}: train.dataset '{source}' is unknown; choose from {known}"
        )
    return detector


def is_run(detector):
    """Whether this detector looks at pictures here; else it brings boxes that another tool found."""
    return isinstance(detector, Detector)


def is_trained(detector):
    """Whether this detector is trained here."""
    return is_run(detector) and detector.training is not None


try:
    check(
        config, Path(workflow.basedir) / "workflow/schemas/config.schema.yaml", "config"
    )
    DATASETS = {
        path.stem: read_dataset_file(path)
        for path in Path("config/datasets").glob("*.yaml")
    }
    DETECTORS = {
        path.stem: read_detector_file(path)
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


def variants_where(answer):
    """A wildcard constraint: the variants of which something is true, or nothing."""
    return "|".join(filter(answer, VARIANTS)) or "(?!)"


def is_published(detector):
    """Whether this detector's weights are fetched."""
    return is_run(detector) and detector.url is not None


def has_boxes_in_archives(detector):
    """Whether the boxes that this detector trains on come as archives."""
    return is_trained(detector) and bool(detector.training.archives)


def has_boxes_in_dota(detector):
    """Whether the boxes that this detector trains on are cut out of a folder in DOTA's layout."""
    return is_trained(detector) and detector.training.dota is not None


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


def archives_of_boxes(wildcards):
    """The downloads that a detector trains on."""
    return expand(
        "resources/detectors/{detector}/archives/{archive}",
        detector=wildcards.detector,
        archive=[each.file for each in DETECTORS[wildcards.detector].recipe().archives],
    )


def source_of_boxes(wildcards):
    """Where an archive of boxes lies and what it hashes to."""
    return asdict(DETECTORS[wildcards.detector].archive(wildcards.archive))


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
    if recipe.dataset is not None:
        return folder_of(recipe.dataset)
    return recipe.folder or f"resources/detectors/{wildcards.detector}/files"


def dota_of(wildcards):
    """The folder in DOTA's layout that a detector trains on."""
    return DETECTORS[wildcards.detector].recipe().dota.folder


def dota_flags(wildcards):
    """How the images of that folder are cut, and for which classes."""
    detector = DETECTORS[wildcards.detector]
    cut = without(asdict(detector.recipe().dota), "folder")
    return as_flags(cut | {"classes": list(detector.classes)})


def results_of(wildcards):
    """The boxes that another tool found on a dataset, and the document that explains their ids."""
    said = asdict(DETECTOR.results)
    files = (said["file"], said["annotations"])
    return [
        file.format(dataset=wildcards.dataset) for file in files if file is not None
    ]


def results_flags(wildcards):
    """How ready boxes are to be read."""
    said = DETECTOR.results
    return as_flags(
        {
            "name": DETECTOR.name,
            "classes": list(DETECTOR.classes),
            "first_category": said.first_category,
            "annotations": said.annotations
            and said.annotations.format(dataset=wildcards.dataset),
        }
    )


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


def has_drea(variant):
    """Whether a variant's graphs are made here."""
    return (
        has_local_branch(variant) and VARIANTS[variant]["graphs"]["published"] is None
    )


def has_published_graphs(variant):
    """Whether a variant's graphs are the authors' own."""
    return has_local_branch(variant) and not has_drea(variant)


def drea_flags(wildcards):
    """The graphs section as this variant has it."""
    return as_flags(without(VARIANTS[wildcards.variant]["graphs"], "published"))


def published_of(wildcards):
    """The folder of the authors' own matrices of a dataset."""
    return VARIANTS[wildcards.variant]["graphs"]["published"].format(**wildcards)


def graphs_of(wildcards):
    """The graphs, for a variant that looks at them."""
    local = has_local_branch(wildcards.variant)
    return "results/{dataset}/{variant}/graphs.h5" if local else []


def all_graphs(wildcards):
    """The graphs of every variant that looks at them."""
    local = [variant for variant in VARIANTS if has_local_branch(variant)]
    return expand(
        "results/{dataset}/{variant}/graphs.h5",
        dataset=wildcards.dataset,
        variant=local,
    )


def all_graphs_flag(wildcards):
    """Where the report finds the graphs, if there are any."""
    graphs = all_graphs(wildcards)
    return as_flag("--graphs", graphs) if graphs else ""


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


def text_weights_of(wildcards):
    """The weights that a variant's sentence encoder starts from, if any."""
    folder = VARIANTS[wildcards.variant]["model"]["text_weights"]
    return [] if folder == "none" else folder


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
