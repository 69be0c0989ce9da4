"""Parameters of the rules: sections of the config, dataset files and detector files as command-line flags.

A change of a parameter re-runs its rule, so each holds what its command reads and nothing else.
"""

from dataclasses import asdict
from functools import cache
from pathlib import Path

from galr.config import drop_keys
from galr.data.folder_listing import (
    describe_changes,
    listing_hash,
    read_listing,
    scan_folder,
)
from galr.options import as_flag, as_flags


def archive_source(wildcards):
    """The addresses and the hash of a dataset's archive: only their change downloads it again."""
    return asdict(DATASETS[wildcards.dataset].archive(wildcards.archive))


def boxes_source(wildcards):
    """The addresses and the hash of an archive of boxes."""
    return asdict(DETECTORS[wildcards.detector].archive(wildcards.archive))


def weights_source(wildcards):
    """The address and the hash of a detector's weights."""
    detector = DETECTORS[wildcards.detector]
    return {"url": detector.url, "sha256": detector.sha256}


def draw_flags(wildcards):
    """How the synthetic dataset is drawn, from its dataset file."""
    return as_flags(asdict(DATASETS[wildcards.dataset].synthetic))


def data_flags(wildcards):
    """The section `data`, without the key that the rule `extract` takes."""
    return as_flags(drop_keys(config["data"], "unpack_limit_gb"))


def listing_flag(wildcards):
    """Where the files of a user's own folder are listed, to name those that change."""
    own = DATASETS[wildcards.dataset].folder
    return as_flag("--listing", f"results/{wildcards.dataset}/files.csv") if own else ""


def in_place_listing_flag(wildcards):
    """The same, where the files are used in place."""
    packed = is_packed(DATASETS[wildcards.dataset])
    return "" if packed else listing_flag(wildcards)


def packed_source(wildcards):
    """What of the dataset file decides what is unpacked: the layout and the splits."""
    dataset = DATASETS[wildcards.dataset]
    splits = sorted(name for names in dataset.splits.values() for name in names)
    return asdict(dataset.layout) | {"splits": splits}


@cache
def folder_hash(folder, listing=None):
    """The hash of the names, sizes and times of a folder's files; those that changed since a listing are named."""
    files = scan_folder(Path(folder))
    if changes := describe_changes(read_listing(listing and Path(listing)), files):
        print(f"galr: changed in {folder}: {changes}", file=sys.stderr)
    return listing_hash(files)


def own_files(wildcards):
    """The state of a dataset's folder, if it is the user's own."""
    own = DATASETS[wildcards.dataset].folder
    return folder_hash(own, f"results/{wildcards.dataset}/files.csv") if own else ""


def own_boxes(wildcards):
    """The state of the folder that a detector is trained on, if it is the user's own."""
    training = DETECTORS[wildcards.detector].train_config()
    dota = training.dota.folder if training.dota else None
    drawn = DATASETS[training.dataset].folder if training.dataset else None
    own = training.folder or dota or drawn
    return folder_hash(own) if own else ""


def published_files(wildcards):
    """The state of the folder of the authors' published matrices."""
    return folder_hash(published_graphs_of(wildcards))


def dota_flags(wildcards):
    """How the DOTA images are tiled, and the detector's classes."""
    detector = DETECTORS[wildcards.detector]
    tiling = drop_keys(asdict(detector.train_config().dota), "folder")
    return as_flags(tiling | {"classes": list(detector.classes)})


def precomputed_boxes_flags(wildcards):
    """How the boxes of another tool are read."""
    boxes = DETECTOR.results
    annotations = boxes.annotations and boxes.annotations.format(
        dataset=wildcards.dataset
    )
    return as_flags(
        {
            "name": DETECTOR.name,
            "classes": list(DETECTOR.classes),
            "first_category": boxes.first_category,
            "ids": boxes.ids,
            "annotations": annotations,
        }
    )


def drea_flags(wildcards):
    """The section `graphs` of a variant."""
    return as_flags(drop_keys(VARIANTS[wildcards.variant]["graphs"], "published"))


def graphs_flag(wildcards):
    """The path of a variant's graphs; `none` where it uses no regions."""
    graphs = graphs_of(wildcards)
    return as_flag("--graphs", graphs.format(**wildcards) if graphs else None)


def features_flags(wildcards, input):
    """The paths of the stored features of a variant's frozen encoders, if there are any."""
    return " ".join(
        as_flag(flag, str(path))
        for flag, path in (
            ("--image-features", input.image_features),
            ("--text-features", input.text_features),
        )
        if path
    )


def encoder_flags(wildcards):
    """What a frozen encoder's features follow from."""
    return as_flags(ENCODERS[wildcards.encoder])


def all_graphs_flag(wildcards):
    """The paths of the graphs of all variants, if there are any."""
    graphs = all_graphs(wildcards)
    return as_flag("--graphs", graphs) if graphs else ""


def fold_flags(wildcards):
    """The section `folds` and the seed."""
    return as_flags(config["folds"] | {"seed": config["seed"]})


def train_flags(wildcards):
    """The sections `model` and `train` of a variant, and the seed."""
    variant = VARIANTS[wildcards.variant]
    return as_flags(variant["model"] | variant["train"] | {"seed": config["seed"]})


def evaluate_flags(wildcards):
    """The section `evaluate` and the seed of the bootstrap."""
    return as_flags(config["evaluate"] | {"seed": config["seed"]})


def aggregate_flags(wildcards):
    """The keys of `evaluate` that the intervals over averaged folds need."""
    section = config["evaluate"]
    return as_flags({key: section[key] for key in ("resamples", "confidence")})
