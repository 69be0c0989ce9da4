"""One training run: its model, its training, and the provenance of its result."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from galr.io.csv_io import write_csv
from galr.io.formats import Dataset, Graphs
from galr.model.checkpoint import Checkpoint
from galr.model.clip import ClipFeature, ClipText
from galr.model.clip_config import image_tower_config, read_clip_config, text_tower_config
from galr.model.clip_weights import load_clip
from galr.model.galr import GaLR
from galr.model.pretrained import (
    load_backbone,
    load_transformer,
)
from galr.model.skipthoughts_weights import load_skipthoughts
from galr.model.text import BiGRU, TransformerText
from galr.model.word_vectors import load_word_vectors
from galr.progress import TrainingLogger
from galr.provenance import code_versions, file_sha256
from galr.train.batches import Augmentation, PairBatches
from galr.train.embed import validate
from galr.train.inputs import FeatureFiles, TrainInputs, open_images, sentence_inputs
from galr.train.loop import TrainResult, fit, validate_untrained
from galr.train.loss import build_loss
from galr.train.optimizer import Schedule
from galr.train.options import VariantOptions
from galr.train.resume import ResumeState
from galr.train.step import TrainStep


def model_architecture(inputs: TrainInputs, options: VariantOptions) -> dict[str, Any]:
    """The arguments of `GaLR`: options, and sizes that follow from the data."""
    max_regions, node_dim = inputs.graphs.shape
    text_config = inputs.pretrained_text and inputs.pretrained_text.config
    clip: dict[str, Any] = {}
    if options.global_feature == "clip":
        config = read_clip_config(options.backbone)
        clip = {"image_config": image_tower_config(config)}
        if options.text_encoder == "clip":
            text_config = text_tower_config(config, options.prompts)
    return (
        options.architecture()
        | clip
        | {
            "vocab_size": len(inputs.vocabulary),
            "max_regions": max_regions,
            "node_dim": node_dim,
            "text_config": text_config,
            "freeze": list(options.freeze),
            "freeze_until": options.freeze_until,
        }
    )


def build_model(inputs: TrainInputs, options: VariantOptions) -> GaLR:
    """Build the model with its initial weights.

    Raises:
        ConfigError: weights do not exist or do not fit.
    """
    model = GaLR(**model_architecture(inputs, options))
    branch, text = model.global_branch if options.branches != "local" else None, model.text_encoder
    if options.global_feature == "clip":
        load_clip(
            options.weights,
            options.backbone,
            read_clip_config(options.backbone),
            image=branch.backbone if isinstance(branch, ClipFeature) else None,
            text=text.network if isinstance(text, ClipText) else None,
        )
    elif branch is not None and not isinstance(branch, ClipFeature):
        load_backbone(branch.backbone, options.weights)
    if inputs.pretrained_text is not None and isinstance(text, TransformerText):
        load_transformer(text.network, inputs.pretrained_text)
    elif options.text_weights != "none":
        words = inputs.vocabulary.tokens
        known = load_skipthoughts(text, words, Path(options.text_weights))
        print(f"skip-thoughts has vectors of {known} of the {len(words)} words", flush=True)
    if options.word_vectors != "none" and isinstance(text, BiGRU):
        words = inputs.vocabulary.tokens
        known = load_word_vectors(text, words, options.word_vectors)
        print(
            f"{options.word_vectors} has vectors of {known} of the {len(words)} words", flush=True
        )
    return model


def run_training(
    inputs: TrainInputs,
    model: GaLR,
    fabric: Fabric,
    resume: ResumeState,
    options: VariantOptions,
    features: FeatureFiles,
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
        features: the stored features of frozen encoders.
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
    images = open_images(
        inputs,
        features,
        rows,
        fabric.device,
        last_map=model.branches != "local" and model.global_branch.backbone.gives_map,
        max_bytes=cache_bytes,
    )
    graphs = inputs.graphs.to(fabric.device)
    val_sentences = sentence_inputs(inputs, features, val, options.max_words)
    logger = TrainingLogger(events)

    def validate_epoch() -> dict[str, float]:
        return validate(
            model,
            images,
            graphs,
            val,
            val_sentences,
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
        sentence_inputs(inputs, features, train, options.max_words),
        input_size=options.input_size,
        augmentation=Augmentation(options.augment, options.max_rotation, options.min_crop),
        statistics=model.pixel_statistics,
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
    features: tuple[Path | None, Path | None],
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
        features: stored features of images and of sentences; None where they are computed.
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
        "features": [path and path.name for path in features],
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
        tokenizer=getattr(inputs.vocabulary, "json", None),
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
    """DREA's settings, the names of the features and the detector's hashes; None without graphs."""
    if graphs is None:
        return None
    with Graphs.open(graphs) as file:
        provenance = file.provenance
    return {
        key: provenance[key] for key in ("settings", "columns", "detector") if key in provenance
    }
