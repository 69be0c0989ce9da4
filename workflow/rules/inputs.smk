"""Input functions of the rules: the files that a dataset, a detector or a variant needs, and which rules apply to them."""

from pathlib import Path

from galr.errors import ConfigError
from galr.regions.detector_spec import DetectorSpec, ProposalSpec
from galr.targets import explain_target


def existing(path, advice):
    """A file or folder that the user brings; a missing one ends the run with one line."""
    if not Path(path).exists():
        stop(ConfigError(f"{path} does not exist; {advice}"))
    return path


def unknown_name(wildcards):
    """End the run with the name in a target that does not exist."""
    known = (DATASET_SPECS, DETECTOR_SPECS, VARIANTS, config["variants"], len(FOLDS))
    stop(explain_target(wildcards.unknown, *known))


def has_archives(dataset):
    """Whether a dataset comes as archives."""
    return bool(dataset.archives)


def is_synthetic(dataset):
    """Whether the package draws a dataset itself."""
    return dataset.synthetic is not None


def is_packed(dataset):
    """Whether a dataset's images lie in tables or shards."""
    return dataset.is_packed


def runs_network(detector):
    """Whether a detector is a network that runs here."""
    return isinstance(detector, DetectorSpec)


def makes_proposals(detector):
    """Whether a detector runs here without a network."""
    return isinstance(detector, ProposalSpec)


def is_trained(detector):
    """Whether a detector is trained here."""
    return runs_network(detector) and detector.training is not None


def downloads_weights(detector):
    """Whether a detector's weights are downloaded."""
    return runs_network(detector) and detector.url is not None


def trains_on_archives(detector):
    """Whether the boxes that a detector is trained on come as archives."""
    return is_trained(detector) and bool(detector.training.archives)


def trains_on_dota(detector):
    """Whether the boxes that a detector is trained on are cut out of a folder in DOTA's layout."""
    return is_trained(detector) and detector.training.dota is not None


def archives_of(wildcards):
    """The archives of a dataset."""
    return expand(
        "resources/{dataset}/archives/{archive}",
        dataset=wildcards.dataset,
        archive=[archive.file for archive in DATASETS[wildcards.dataset].archives],
    )


def archives_of_boxes(wildcards):
    """The archives that a detector is trained on."""
    training = DETECTORS[wildcards.detector].train_config()
    return expand(
        "resources/detectors/{detector}/archives/{archive}",
        detector=wildcards.detector,
        archive=[archive.file for archive in training.archives],
    )


def folder_of(dataset):
    """The folder of a dataset's images: the user's own in place, or the one unpacked, extracted or drawn here."""
    if dataset not in DATASETS:
        stop(DATASET_SPECS.explain(dataset))
    if is_packed(DATASETS[dataset]):
        return f"resources/{dataset}/unpacked"
    return source_folder_of(dataset)


def source_folder_of(dataset):
    """The folder that a dataset comes as: the user's own in place, or the one extracted or drawn here."""
    folder = DATASETS[dataset].folder
    if folder is None:
        return f"resources/{dataset}/files"
    existing(folder, f"correct the key folder in config/datasets/{dataset}.yaml")
    return ancient(
        folder
    )  # changes of files do not change it: see own_files in params.smk


def packed_folder(wildcards):
    """The folder of the tables or shards of the wildcard's dataset."""
    return source_folder_of(wildcards.dataset)


def folder_of_dataset(wildcards):
    """The folder of the images of the wildcard's dataset."""
    return folder_of(wildcards.dataset)


def folder_of_boxes(wildcards):
    """The folder of the images and boxes that a detector is trained on."""
    training = DETECTORS[wildcards.detector].train_config()
    if training.dataset is not None:
        return folder_of(training.dataset)
    if training.folder is None:
        return f"resources/detectors/{wildcards.detector}/files"
    return existing(
        training.folder,
        f"correct train.folder in config/detectors/{wildcards.detector}.yaml",
    )


def dota_folder_of(wildcards):
    """The folder in DOTA's layout that a detector is trained on."""
    return existing(
        DETECTORS[wildcards.detector].train_config().dota.folder,
        "put train/ and val/ of DOTA there, each with images/ and labelTxt/, or correct train.dota.folder"
        f" in config/detectors/{wildcards.detector}.yaml",
    )


def precomputed_boxes_of(wildcards):
    """The boxes of another tool for a dataset, and the annotations that explain their ids."""
    boxes = DETECTOR.results
    files = [
        existing(
            boxes.file.format(**wildcards),
            f"detector {DETECTOR.name} takes boxes that another tool found: put COCO results there, a JSON list of"
            ' {"image_id": "an image\'s name", "category_id": 1, "bbox": [x, y, width, height], "score": 0.9},'
            " in pixels of the original images, or correct results.file in"
            f" config/detectors/{DETECTOR.name}.yaml",
        )
    ]
    if boxes.annotations:
        annotations = existing(
            boxes.annotations.format(**wildcards),
            "put the COCO annotations there whose images and categories the ids of the boxes mean, or correct"
            f" results.annotations in config/detectors/{DETECTOR.name}.yaml",
        )
        files.append(annotations)
    return files


def weights(wildcards):
    """The detector's weights: the user's own file in place, or the one downloaded or trained here."""
    if DETECTOR.file is None:
        return f"resources/detectors/{DETECTOR.name}/checkpoint.pth"
    return existing(
        DETECTOR.file,
        f"correct checkpoint.file in config/detectors/{DETECTOR.name}.yaml",
    )


def has_local_branch(variant):
    """Whether a variant (its config sections) uses regions."""
    return variant["model"]["branches"] != "global"


def computes_graphs(variant):
    """Whether DREA computes a variant's graphs here."""
    return has_local_branch(variant) and variant["graphs"]["published"] is None


def imports_graphs(variant):
    """Whether a variant uses the authors' published matrices."""
    return has_local_branch(variant) and not computes_graphs(variant)


def published_graphs_of(wildcards):
    """The folder of the authors' published matrices of a dataset."""
    return existing(
        VARIANTS[wildcards.variant]["graphs"]["published"].format(**wildcards),
        f"put the authors' matrices there, or correct graphs.published of the variant {wildcards.variant}",
    )


def graphs_of(wildcards):
    """The graphs of a variant, or nothing where it uses no regions."""
    local = has_local_branch(VARIANTS[wildcards.variant])
    return "results/{dataset}/{variant}/graphs.h5" if local else []


def all_graphs(wildcards):
    """The graphs of every variant that uses regions."""
    return expand(
        "results/{dataset}/{variant}/graphs.h5",
        dataset=wildcards.dataset,
        variant=[
            name for name, variant in VARIANTS.items() if has_local_branch(variant)
        ],
    )


def weights_of(wildcards):
    """The files and folders of the user's that a variant's encoders start from, if any."""
    model = VARIANTS[wildcards.variant]["model"]
    return own_weights(
        own_architecture(model["backbone"]),
        model["weights"],
        model["text_weights"],
        model["word_vectors"],
    )


def weights_of_encoder(wildcards):
    """The file or folder of the user's that a frozen encoder's weights lie in, if any."""
    encoder = ENCODERS[wildcards.encoder]
    return own_weights(
        own_architecture(encoder.get("backbone")),
        encoder.get("weights"),
        encoder.get("text_weights"),
    )


def own_architecture(backbone):
    """The file of the user's that describes an architecture, if it is not of a library."""
    return backbone if backbone and backbone.endswith(".json") else None


def own_weights(*named):
    """Those of some weights that are files or folders of the user's."""
    return [
        path
        for path in named
        if path not in (None, "none", "package", "pretrained") and Path(path).exists()
    ]


def features_of(part):
    """An input function: the stored features of a variant's frozen encoder of images or of text, if it is frozen."""

    def stored(wildcards):
        options = STORED[wildcards.variant].get(part)
        name = options and features_name(part, options)
        return f"results/{wildcards.dataset}/features/{name}.h5" if name else []

    return stored


def all_folds(file):
    """A file of each variant and fold, in the order of the table."""
    return expand(
        "results/{{dataset}}/{variant}/fold{fold}/{file}",
        variant=VARIANTS,
        fold=FOLDS,
        file=file,
    )
