"""Fit one variant of the model on one fold, and keep the epoch with the best validation mR.

IN   dataset.h5, graphs.h5, folds.csv
OUT  checkpoint.pt   weights of the kept epoch, how to build the model, its vocabulary, its origin
     history.csv     a row an epoch: loss, learning rate, speed, validation recalls, which one was kept
     run.json        what made them: settings, versions, device, git state, seeds, hashes of the data
     events/         the same curves for TensorBoard, with --events

The vocabulary is counted on the fold's training sentences alone.
A training that was killed goes on by itself when the same command is called again: checkpoint.unfinished.pt
lies beside checkpoint.pt until it is done.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import torch
from lightning_fabric import Fabric

from galr import provenance, store
from galr.data.vocabulary import Vocabulary
from galr.devices import resolve_device
from galr.errors import ConfigError
from galr.model import checkpoint as checkpoints
from galr.model.galr import GaLR
from galr.model.pretrained import count_parameters, load_backbone, load_skipthoughts
from galr.options import option
from galr.progress import TrainingLogger
from galr.train.batches import PairBatches
from galr.train.distributed import launch_fabric
from galr.train.embed import GraphStore
from galr.train.image_store import open_image_store
from galr.train.loop import TrainResult, fit, validate
from galr.train.loss import build_loss
from galr.train.options import ModelOptions, TrainOptions
from galr.train.resume import ResumeState
from galr.train.run_record import run_record, write_run_record
from galr.train.splits import SplitData, fold_seed, read_folds, split_by_fold
from galr.train.step import TrainStep


@dataclass(frozen=True, kw_only=True)
class Options(ModelOptions, TrainOptions):
    """What comes in, what goes out, and which run of which experiment this is."""

    dataset: Path = option("dataset.h5")
    graphs: Path | None = option("graphs.h5; none for a model without a local branch", default=None)
    folds: Path = option("folds.csv")
    variant: str = option("the name this run is filed under")
    fold: int = option("which fold, from 0")
    seed: int = option("seed of the experiment")
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    processes: int = option("that train together, each on a GPU of its own", default=1)
    threads: int = option("CPU threads", default=1)
    cache_gb: float = option(
        "pictures of up to so many GB stay on the device, more are read ahead", default=8.0
    )
    checkpoint_interval: float = option(
        "seconds between two saves of an unfinished training", default=300
    )
    checkpoint: Path = option("checkpoint.pt to write")
    history: Path = option("history.csv to write")
    record: Path = option("run.json to write")
    events: Path | None = option("folder for TensorBoard", default=None)

    def __post_init__(self) -> None:
        """Refuse what no experiment could mean."""
        if self.embed_dim % self.heads:
            raise ConfigError(
                f"model.heads must divide model.embedding, got {self.heads} and {self.embed_dim}"
            )
        if self.batch < max(2, self.processes):
            raise ConfigError(
                f"train.batch must be at least 2 (negatives) and one for each process, got {self.batch}"
            )
        if self.branches != "global" and self.graphs is None:
            raise ConfigError(f"branches '{self.branches}' need --graphs; got none")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"model.dropout must be in [0, 1), got {self.dropout}")
        if self.processes < 1:
            raise ConfigError(f"--processes must be at least 1, got {self.processes}")

    def config(self) -> dict[str, Any]:
        """The sections `model` and `train`, by key."""
        names = {each.name for each in (*fields(ModelOptions), *fields(TrainOptions))}
        return {key: value for key, value in asdict(self).items() if key in names}


@dataclass(frozen=True)
class TrainInputs:
    """What training reads."""

    images: h5py.Dataset  # (images, size, size, 3) uint8
    splits: dict[str, SplitData]
    graphs: GraphStore
    vocabulary: Vocabulary


def run(options: Options) -> None:
    """Open what training needs, fit, write what it leaves."""
    torch.set_num_threads(options.threads)
    seed = fold_seed(options.seed, options.fold)
    with store.reading(options.dataset, store.DATASET) as dataset:
        inputs = load_inputs(options, dataset)
        fabric = launch_fabric(resolve_device(options.device), options.processes, options.precision)
        torch.manual_seed(seed)
        model = build_model(options, inputs)
        torch.manual_seed(seed + fabric.global_rank)  # each process drops out by itself
        origin = provenance_of(options, dataset, fabric)
        resume = ResumeState(
            options.checkpoint.with_suffix(".unfinished.pt"), origin, options.checkpoint_interval
        )
        if fabric.is_global_zero:
            said = run_record(origin, fold_seed=seed, device=str(fabric.device))
            write_run_record(options.record, said, resumed=resume.exists())
        fabric.print(
            f"{options.variant} fold {options.fold}: {count_parameters(model):,} parameters,"
            f" {len(inputs.vocabulary)} words, {len(inputs.splits['train'].rows)} images to learn from,"
            f" {len(inputs.splits['val'].rows)} to choose by, on {fabric.device}",
            flush=True,
        )
        fitted = run_training(options, fabric, model, inputs, resume, seed)
    if not fabric.is_global_zero:
        return
    checkpoints.save_checkpoint(
        options.checkpoint,
        checkpoints.Checkpoint(
            architecture=model_architecture(options, inputs),
            state_dict=fitted.state,
            vocabulary=list(inputs.vocabulary.tokens),
            max_words=options.max_words,
            epoch=fitted.epoch,
            mr=fitted.mr,
            provenance=origin,
        ),
    )
    history = pd.DataFrame(fitted.history)
    history["best"] = history["epoch"] == fitted.epoch
    history.to_csv(options.history, index=False)
    resume.delete()


def load_inputs(options: Options, dataset: h5py.File) -> TrainInputs:
    """The fold's parts and the graphs, if they are what these settings need."""
    if (size := dataset["images"].shape[1]) < options.input_size:
        raise ConfigError(
            f"model.crop is {options.input_size} and data.size {size}; crop is at most size"
        )
    names = store.texts(dataset["names"])
    parts = split_by_fold(
        read_folds(options.folds),
        options.fold,
        names,
        store.texts(dataset["sentences"]),
        dataset["image_of_sentence"][:],
    )
    graphs = GraphStore.open(options.graphs, names)
    if options.augment_regions and options.graphs is not None and graphs.edges is None:
        raise ConfigError(
            f"train.regions_move needs graphs that DREA made here; {options.graphs} does not say how"
            " its edges were weighed; set regions_move: false for this variant"
        )
    vocabulary = Vocabulary.build(
        parts["train"].sentences, options.min_word_count, stop_words=options.stop_words
    )
    return TrainInputs(dataset["images"], parts, graphs, vocabulary)


def model_architecture(options: Options, inputs: TrainInputs) -> dict[str, Any]:
    """What the model is built from: settings, and sizes that the data say."""
    regions, features = inputs.graphs.shape
    sizes = {"words": len(inputs.vocabulary), "regions": regions, "features": features}
    return options.architecture() | sizes


def build_model(options: Options, inputs: TrainInputs) -> GaLR:
    """The model before training, with the weights it starts from."""
    model = GaLR(**model_architecture(options, inputs))
    if options.branches != "local":
        load_backbone(model.global_branch.backbone, options.backbone, options.weights)
    if options.text_weights != "none":
        words = inputs.vocabulary.tokens
        known = load_skipthoughts(model.text_encoder, words, Path(options.text_weights))
        print(f"skip-thoughts knows {known} of {len(words)} words", flush=True)
    return model


def run_training(
    options: Options,
    fabric: Fabric,
    model: GaLR,
    inputs: TrainInputs,
    resume: ResumeState,
    seed: int,
) -> TrainResult:
    """Hand every setting to the part that it is for, and train."""
    train, val = inputs.splits["train"], inputs.splits["val"]
    pictures = open_image_store(
        inputs.images,
        [*train.rows, *val.rows],
        fabric.device,
        max_bytes=int(options.cache_gb * 1e9),
    )
    graphs = inputs.graphs.to(fabric.device)
    feed = PairBatches(
        pictures,
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
    learner = TrainStep(
        model,
        build_loss(options.loss, options.margin, options.temperature),
        fabric,
        learning_rate=options.learning_rate,
        lr_decay=options.lr_decay,
        lr_decay_every=options.lr_decay_every,
        grad_clip_norm=options.grad_clip_norm,
        compiled=options.compile,
    )
    numbers = inputs.vocabulary.encode(val.sentences, options.max_words)
    telling = TrainingLogger(options.events)
    fitted = fit(
        learner,
        feed,
        lambda: validate(
            model,
            pictures,
            graphs,
            val,
            numbers,
            input_size=options.input_size,
            batch_size=options.batch,
        ),
        fabric,
        resume,
        epochs=options.epochs,
        log=telling,
    )
    telling.close()
    return fitted


def provenance_of(options: Options, dataset: h5py.File, fabric: Fabric) -> dict[str, Any]:
    """What the weights follow from."""
    return {
        "dataset": store.provenance(dataset)["dataset"],
        "dataset_sha256": provenance.file_sha256(options.dataset),
        "graphs_sha256": provenance.file_sha256(options.graphs) if options.graphs else None,
        "folds_sha256": provenance.file_sha256(options.folds),
        "size": int(dataset["images"].shape[1]),
        "graphs": _graph_provenance(options.graphs),
        "variant": options.variant,
        "fold": options.fold,
        "seed": options.seed,
        "settings": options.config(),
        "device": str(fabric.device),
        "processes": fabric.world_size,
        "threads": options.threads,  # on a CPU their number decides how sums are rounded
        "versions": provenance.code_versions(),
    }


def _graph_provenance(graphs: Path | None) -> dict[str, Any] | None:
    """DREA's choices and what the columns of its matrices are, so that a model alone can tell them."""
    if graphs is None:
        return None
    with store.reading(graphs, store.GRAPHS) as file:
        said = store.provenance(file)
    return {key: said[key] for key in ("settings", "columns") if key in said}
