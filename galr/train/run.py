"""One training run: its inputs, its model, its training, and the provenance of its result."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
from lightning_fabric import Fabric

from galr.data.vocabulary import UnknownWords, Vocabulary
from galr.errors import ConfigError
from galr.io.csv_io import write_csv
from galr.io.formats import Dataset, Graphs
from galr.model.checkpoint import Checkpoint
from galr.model.galr import GaLR
from galr.model.pretrained import load_backbone, load_skipthoughts
from galr.progress import TrainingLogger
from galr.provenance import code_versions, file_sha256
from galr.train.batches import PairBatches
from galr.train.embed import validate
from galr.train.graph_store import GraphStore
from galr.train.image_store import open_image_store
from galr.train.loop import TrainResult, fit, validate_untrained
from galr.train.loss import build_loss
from galr.train.optimizer import Schedule
from galr.train.options import ModelOptions, VariantOptions
from galr.train.resume import ResumeState
from galr.train.splits import SplitData, read_folds, split_by_fold
from galr.train.step import TrainStep


@dataclass(frozen=True)
class TrainInputs:
    """What a training reads.

    Attributes:
        images: (images, size, size, 3) uint8, in the open dataset.h5.
        splits: the splits `train`, `val` and `test` of the fold, by name.
        graphs: of all images.
        vocabulary: built from the training sentences alone.
        unknown: what it does not know of each split.
    """

    images: h5py.Dataset
    splits: Mapping[str, SplitData]
    graphs: GraphStore
    vocabulary: Vocabulary
    unknown: Mapping[str, UnknownWords]

    def warnings(self) -> list[str]:
        """What is wrong with the words of each split, one line each."""
        return [line for split, counts in self.unknown.items() for line in counts.warnings(split)]


def load_inputs(
    dataset: Dataset, graphs: Path | None, folds: Path, fold: int, options: VariantOptions
) -> TrainInputs:
    """Load the inputs of a training, and check that they fit its options.

    Args:
        dataset: the open dataset.h5; it must stay open during the training.
        graphs: graphs.h5; None for a model without a local branch.
        folds: folds.csv.
        fold: which fold, from 0.
        options: the variant's options.

    Raises:
        ConfigError: the dataset's images are smaller than the model's input, there is no such fold, or
            regions cannot be augmented because it is unknown how their edges were weighed, or no word is left
            for the vocabulary.
        DataError: graphs or folds are of other images, a split is empty, or the sentences have no word.
        StoreError: a file is damaged.
    """
    if (size := dataset.images.shape[1]) < options.input_size:
        raise ConfigError(
            f"model.input_size is {options.input_size} and data.size {size};"
            " input_size is at most size"
        )
    names = dataset.names
    splits = split_by_fold(
        read_folds(folds),
        fold,
        names,
        dataset.sentences,
        dataset.image_of_sentence[:],
    )
    graph_store = GraphStore.open(graphs, names)
    if options.augment_regions and graphs is not None and graph_store.edges is None:
        raise ConfigError(
            f"train.augment_regions needs graphs that DREA made here; the provenance of {graphs} does"
            " not hold how its edges were weighed; set augment_regions: false for this variant"
        )
    vocabulary = Vocabulary.build(
        splits["train"].sentences, options.min_word_count, stop_words=options.stop_words
    )
    unknown = vocabulary.count_unknown(
        {name: split.sentences for name, split in splits.items()}, stop_words=options.stop_words
    )
    return TrainInputs(dataset.images, splits, graph_store, vocabulary, unknown)


def model_architecture(inputs: TrainInputs, options: ModelOptions) -> dict[str, Any]:
    """The arguments of `GaLR`: options, and sizes that follow from the data."""
    max_regions, node_dim = inputs.graphs.shape
    sizes = {"vocab_size": len(inputs.vocabulary), "max_regions": max_regions, "node_dim": node_dim}
    return options.architecture() | sizes


def build_model(inputs: TrainInputs, options: ModelOptions) -> GaLR:
    """Build the model with its initial weights.

    Raises:
        ConfigError: weights do not exist or do not fit.
    """
    model = GaLR(**model_architecture(inputs, options))
    if options.branches != "local":
        load_backbone(model.global_branch.backbone, options.backbone, options.weights)
    if options.text_weights != "none":
        words = inputs.vocabulary.tokens
        known = load_skipthoughts(model.text_encoder, words, Path(options.text_weights))
        print(f"skip-thoughts has vectors of {known} of the {len(words)} words", flush=True)
    return model


def run_training(
    inputs: TrainInputs,
    model: GaLR,
    fabric: Fabric,
    resume: ResumeState,
    options: VariantOptions,
    *,
    seed: int,
    cache_bytes: int,
    events: Path | None,
) -> TrainResult:
    """Train a model on its inputs, or go on from the state that a killed call saved.

    Args:
        inputs: what to train and validate on.
        model: with its initial weights; trained in place.
        fabric: a launched one.
        resume: where the state of the unfinished training is saved.
        options: the variant's options.
        seed: of shuffling, sampling and augmentation.
        cache_bytes: largest memory for images on the device; more are read ahead.
        events: folder for TensorBoard; None writes nothing there.

    Raises:
        ConfigError: the loss is unknown or cannot be built.
        DataError: the loss is not finite.
        StoreError: an image cannot be read.
    """
    train, val = inputs.splits["train"], inputs.splits["val"]
    rows = [*(train.rows if options.epochs else ()), *val.rows]
    images = open_image_store(inputs.images, rows, fabric.device, max_bytes=cache_bytes)
    graphs = inputs.graphs.to(fabric.device)
    token_ids = inputs.vocabulary.encode(val.sentences, options.max_words)
    logger = TrainingLogger(events)

    def validate_epoch() -> dict[str, float]:
        return validate(
            model,
            images,
            graphs,
            val,
            token_ids,
            input_size=options.input_size,
            batch_size=options.batch,
        )

    if not options.epochs:
        result = validate_untrained(model, validate_epoch, fabric, log=logger)
        logger.close()
        return result
    batches = PairBatches(
        images,
        graphs,
        train,
        inputs.vocabulary.encode(train.sentences, options.max_words),
        input_size=options.input_size,
        max_rotation=options.max_rotation,
        batch_size=options.batch,
        sentences_per_epoch=options.sentences_per_epoch,
        group_by_image=options.group_by_image,
        shared_negatives=options.shared_negatives,
        edges=graphs.edges if options.augment_regions else None,
        seed=seed,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
    train_step = TrainStep(
        model,
        build_loss(
            options.loss,
            options.margin,
            options.temperature,
            soft_targets=options.soft_targets,
        ),
        fabric,
        learning_rate=options.learning_rate,
        schedule=Schedule(
            epochs=options.epochs,
            steps_per_epoch=batches.num_steps,
            name=options.schedule,
            warmup=options.warmup,
            lr_decay=options.lr_decay,
            lr_decay_every=options.lr_decay_every,
        ),
        grad_clip_norm=options.grad_clip_norm,
        compiled=options.compile,
        optimizer=options.optimizer,
        weight_decay=options.weight_decay,
        encoder_learning_rate=options.encoder_learning_rate,
        average=options.average,
    )
    result = fit(
        train_step, batches, validate_epoch, fabric, resume, epochs=options.epochs, log=logger
    )
    logger.close()
    return result


def word_provenance(inputs: TrainInputs) -> dict[str, Any]:
    """The part of the provenance about words: counts by split, and the warnings that the report repeats."""
    counts = {split: asdict(each) for split, each in inputs.unknown.items()}
    return {"words": counts, "warnings": inputs.warnings()}


def run_provenance(
    dataset: Path,
    graphs: Path | None,
    folds: Path,
    options: VariantOptions,
    *,
    variant: str,
    fold: int,
    seed: int,
    fabric: Fabric,
    threads: int,
) -> dict[str, Any]:
    """All that the trained weights follow from.

    Args:
        dataset: dataset.h5.
        graphs: graphs.h5; None for a model without a local branch.
        folds: folds.csv.
        options: the variant's options.
        variant: its name.
        fold: which fold, from 0.
        seed: of the experiment.
        fabric: the launched one.
        threads: of the CPU; their number decides how sums are rounded.

    Returns:
        The provenance of checkpoint.pt; with how the graphs were made, so that graphs can be made for other
        images with the model alone.
    """
    with Dataset.open(dataset) as file:
        name, size = file.provenance["dataset"], int(file.images.shape[1])
        pixels = file.provenance.get("pixels")
    return {
        "dataset": name,
        "dataset_sha256": file_sha256(dataset),
        "graphs_sha256": file_sha256(graphs) if graphs else None,
        "folds_sha256": file_sha256(folds),
        "size": size,
        "pixels": pixels,
        "graphs": _graph_provenance(graphs),
        "variant": variant,
        "fold": fold,
        "seed": seed,
        "settings": options.config(),
        "device": str(fabric.device),
        "processes": fabric.world_size,
        "threads": threads,
        "versions": code_versions(),
    }


def build_checkpoint(
    inputs: TrainInputs,
    result: TrainResult,
    options: VariantOptions,
    provenance: Mapping[str, Any],
) -> Checkpoint:
    """The best epoch as a checkpoint."""
    return Checkpoint(
        architecture=model_architecture(inputs, options),
        state_dict=result.state,
        vocabulary=list(inputs.vocabulary.tokens),
        max_words=options.max_words,
        epoch=result.epoch,
        mr=result.mr,
        provenance=dict(provenance),
    )


def write_history(path: Path, result: TrainResult) -> None:
    """Write history.csv: a row for each epoch, `best` True in that of the best one.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = [row | {"best": row["epoch"] == result.epoch} for row in result.history]
    write_csv(path, list(rows[0]), [list(row.values()) for row in rows])


def _graph_provenance(graphs: Path | None) -> dict[str, Any] | None:
    """DREA's settings and the names of the features; None without graphs."""
    if graphs is None:
        return None
    with Graphs.open(graphs) as file:
        provenance = file.provenance
    return {key: provenance[key] for key in ("settings", "columns") if key in provenance}
