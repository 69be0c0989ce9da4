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

from galr import store, versions
from galr.data.words import Vocabulary
from galr.devices import device_of
from galr.errors import ConfigError
from galr.model import checkpoint as checkpoints
from galr.model.galr import GaLR
from galr.model.weights import load_backbone, load_skipthoughts, parameters
from galr.settings import setting
from galr.training.embed import Graphs
from galr.training.feed import Feed
from galr.training.fit import Fitted, fit, validate
from galr.training.folds import seed_of
from galr.training.learner import Learner
from galr.training.loss import loss_of
from galr.training.parts import Part, fold_parts, read_folds
from galr.training.pictures import open_pictures
from galr.training.processes import launched
from galr.training.record import record, write_record
from galr.training.sections import ModelSettings, TrainSettings
from galr.training.telling import Telling
from galr.training.unfinished import Unfinished


@dataclass(frozen=True, kw_only=True)
class Flags(ModelSettings, TrainSettings):
    """What comes in, what goes out, and which run of which experiment this is."""

    dataset: Path = setting("dataset.h5")
    graphs: Path | None = setting(
        "graphs.h5; none for a model without a local branch", default=None
    )
    folds: Path = setting("folds.csv")
    variant: str = setting("the name this run is filed under")
    fold: int = setting("which fold, from 0")
    seed: int = setting("seed of the experiment")
    device: str = setting("auto, cpu, cuda or cuda:N", default="auto")
    processes: int = setting("that train together, each on a GPU of its own", default=1)
    threads: int = setting("CPU threads", default=1)
    resident_gb: float = setting(
        "pictures of up to so many GB stay on the device, more are read ahead", default=8.0
    )
    save_every: float = setting("seconds between two saves of an unfinished training", default=300)
    checkpoint: Path = setting("checkpoint.pt to write")
    history: Path = setting("history.csv to write")
    record: Path = setting("run.json to write")
    events: Path | None = setting("folder for TensorBoard", default=None)

    def __post_init__(self) -> None:
        """Refuse what no experiment could mean."""
        if self.embedding % self.heads:
            raise ConfigError(
                f"model.heads must divide model.embedding, got {self.heads} and {self.embedding}"
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

    def settings(self) -> dict[str, Any]:
        """The sections `model` and `train`, by key."""
        names = {each.name for each in (*fields(ModelSettings), *fields(TrainSettings))}
        return {key: value for key, value in asdict(self).items() if key in names}


@dataclass(frozen=True)
class Opened:
    """What training reads."""

    images: h5py.Dataset  # (images, size, size, 3) uint8
    parts: dict[str, Part]
    graphs: Graphs
    vocabulary: Vocabulary


def run(flags: Flags) -> None:
    """Open what training needs, fit, write what it leaves."""
    torch.set_num_threads(flags.threads)
    seed = seed_of(flags.seed, flags.fold)
    with store.reading(flags.dataset, store.DATASET) as dataset:
        read = opened(flags, dataset)
        fabric = launched(device_of(flags.device), flags.processes, flags.precision)
        torch.manual_seed(seed)
        model = built(flags, read)
        torch.manual_seed(seed + fabric.global_rank)  # each process drops out by itself
        origin = origin_of(flags, dataset, fabric)
        unfinished = Unfinished(
            flags.checkpoint.with_suffix(".unfinished.pt"), origin, flags.save_every
        )
        if fabric.is_global_zero:
            said = record(origin, fold_seed=seed, device=str(fabric.device))
            write_record(flags.record, said, resumed=unfinished.is_there())
        fabric.print(
            f"{flags.variant} fold {flags.fold}: {parameters(model):,} parameters,"
            f" {len(read.vocabulary)} words, {len(read.parts['train'].rows)} images to learn from,"
            f" {len(read.parts['val'].rows)} to choose by, on {fabric.device}",
            flush=True,
        )
        fitted = fitted_of(flags, fabric, model, read, unfinished, seed)
    if not fabric.is_global_zero:
        return
    checkpoints.save(
        flags.checkpoint,
        checkpoints.Checkpoint(
            architecture=architecture_of(flags, read),
            state=fitted.state,
            words=list(read.vocabulary.words),
            max_words=flags.max_words,
            epoch=fitted.epoch,
            mr=fitted.mr,
            provenance=origin,
        ),
    )
    history = pd.DataFrame(fitted.history)
    history["best"] = history["epoch"] == fitted.epoch
    history.to_csv(flags.history, index=False)
    unfinished.forget()


def opened(flags: Flags, dataset: h5py.File) -> Opened:
    """The fold's parts and the graphs, if they are what these settings need."""
    if (size := dataset["images"].shape[1]) < flags.crop:
        raise ConfigError(f"model.crop is {flags.crop} and data.size {size}; crop is at most size")
    names = store.texts(dataset["names"])
    parts = fold_parts(
        read_folds(flags.folds),
        flags.fold,
        names,
        store.texts(dataset["sentences"]),
        dataset["image_of_sentence"][:],
    )
    graphs = Graphs.open(flags.graphs, names)
    if flags.regions_move and flags.graphs is not None and graphs.edges is None:
        raise ConfigError(
            f"train.regions_move needs graphs that DREA made here; {flags.graphs} does not say how"
            " its edges were weighed; set regions_move: false for this variant"
        )
    vocabulary = Vocabulary.count(
        parts["train"].sentences, flags.min_count, stop_words=flags.stop_words
    )
    return Opened(dataset["images"], parts, graphs, vocabulary)


def architecture_of(flags: Flags, read: Opened) -> dict[str, Any]:
    """What the model is built from: settings, and sizes that the data say."""
    regions, features = read.graphs.shape
    sizes = {"words": len(read.vocabulary), "regions": regions, "features": features}
    return flags.architecture() | sizes


def built(flags: Flags, read: Opened) -> GaLR:
    """The model before training, with the weights it starts from."""
    model = GaLR(**architecture_of(flags, read))
    if flags.branches != "local":
        load_backbone(model.seen.pyramid, flags.backbone, flags.weights)
    if flags.text_weights != "none":
        words = read.vocabulary.words
        known = load_skipthoughts(model.text, words, Path(flags.text_weights))
        print(f"skip-thoughts knows {known} of {len(words)} words", flush=True)
    return model


def fitted_of(
    flags: Flags, fabric: Fabric, model: GaLR, read: Opened, unfinished: Unfinished, seed: int
) -> Fitted:
    """Hand every setting to the part that it is for, and train."""
    train, val = read.parts["train"], read.parts["val"]
    pictures = open_pictures(
        read.images,
        [*train.rows, *val.rows],
        fabric.device,
        limit=int(flags.resident_gb * 1e9),
    )
    graphs = read.graphs.to(fabric.device)
    feed = Feed(
        pictures,
        graphs,
        train,
        read.vocabulary.numbers(train.sentences, flags.max_words),
        crop=flags.crop,
        rotate=flags.rotate,
        batch=flags.batch,
        sentences_per_epoch=flags.sentences_per_epoch,
        grouped=flags.grouped,
        shared_negatives=flags.shared_negatives,
        edges=graphs.edges if flags.regions_move else None,
        seed=seed,
        rank=fabric.global_rank,
        world=fabric.world_size,
    )
    learner = Learner(
        model,
        loss_of(flags.loss, flags.margin, flags.temperature),
        fabric,
        learning_rate=flags.learning_rate,
        decay=flags.decay,
        decay_every=flags.decay_every,
        clip=flags.clip,
        compiled=flags.compile,
    )
    numbers = read.vocabulary.numbers(val.sentences, flags.max_words)
    telling = Telling(flags.events)
    fitted = fit(
        learner,
        feed,
        lambda: validate(model, pictures, graphs, val, numbers, crop=flags.crop, batch=flags.batch),
        fabric,
        unfinished,
        epochs=flags.epochs,
        tell=telling,
    )
    telling.end()
    return fitted


def origin_of(flags: Flags, dataset: h5py.File, fabric: Fabric) -> dict[str, Any]:
    """What the weights follow from."""
    return {
        "dataset": store.provenance(dataset)["dataset"],
        "dataset_sha256": versions.sha256(flags.dataset),
        "graphs_sha256": versions.sha256(flags.graphs) if flags.graphs else None,
        "folds_sha256": versions.sha256(flags.folds),
        "size": int(dataset["images"].shape[1]),
        "graphs": _choices(flags.graphs),
        "variant": flags.variant,
        "fold": flags.fold,
        "seed": flags.seed,
        "settings": flags.settings(),
        "device": str(fabric.device),
        "processes": fabric.world_size,
        "threads": flags.threads,  # on a CPU their number decides how sums are rounded
        "versions": versions.code(),
    }


def _choices(graphs: Path | None) -> dict[str, Any] | None:
    """DREA's choices and what the columns of its matrices are, so that a model alone can tell them."""
    if graphs is None:
        return None
    with store.reading(graphs, store.GRAPHS) as file:
        said = store.provenance(file)
    return {key: said[key] for key in ("settings", "columns") if key in said}
