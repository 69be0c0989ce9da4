"""Fit one variant of the model on one fold, and keep the epoch with the best validation mR.

IN   dataset.h5, graphs.h5, folds.csv
OUT  checkpoint.pt   weights of the kept epoch, how to build the model, its vocabulary, its origin
     history.csv     a row an epoch: loss, learning rate, speed, validation recalls, which one was kept

The vocabulary is counted on the fold's training sentences alone.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch

from galr import store, versions
from galr.data.words import Vocabulary
from galr.devices import device_of
from galr.errors import ConfigError
from galr.model import checkpoint as checkpoints
from galr.model.galr import GaLR
from galr.model.weights import load_backbone, parameters
from galr.settings import Settings, setting
from galr.training.embed import Graphs
from galr.training.fit import fit
from galr.training.folds import seed_of
from galr.training.parts import fold_parts, read_folds


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """What is built; config section `model`."""

    backbone: str = setting("torchvision's name of a residual network")
    weights: str = setting("imagenet, none, or a file with a state dict of the backbone")
    crop: int = setting("height and width the model sees, pixels; a multiple of 32")
    embedding: int = setting("width of the common space")
    word_size: int = setting("width of a word's embedding")
    text_size: int = setting("units of the GRU, each direction")
    heads: int = setting("attention heads of the fusion; divides embedding")
    feed_forward: int = setting("inner width of the fusion's feed-forward layers")
    dropout: float = setting("share dropped in the fusion, in [0, 1)")
    branches: Literal["both", "global", "local"] = setting("which image features are live")


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Settings):
    """How long and how hard to train; config section `train`."""

    epochs: int = setting("passes over the training images")
    batch: int = setting("image-sentence pairs a step")
    sentences_per_epoch: int | None = setting("sentences drawn an image and epoch; none takes all")
    grouped: bool = setting("pairs of one image share a step, which encodes its picture once")
    learning_rate: float = setting("Adam's step size")
    decay: float = setting("factor on the learning rate every decay-every epochs")
    decay_every: int = setting("epochs")
    margin: float = setting("of the hinge loss, cosine units in [0, 2]")
    clip: float = setting("largest norm of the gradient")
    rotate: float = setting("largest random rotation of a training picture, degrees")
    min_count: int = setting("how often a word must be seen to be in the vocabulary")
    max_words: int = setting("longer sentences are cut, with a warning")
    regions_move: bool = setting("regions are turned and cropped with their picture")
    shared_negatives: bool = setting(
        "as released: another sentence of the same image, and an image with the same sentence, are negatives"
    )


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
    threads: int = setting("CPU threads", default=1)
    checkpoint: Path = setting("checkpoint.pt to write")
    history: Path = setting("history.csv to write")

    def __post_init__(self) -> None:
        """Refuse what no experiment could mean."""
        if self.embedding % self.heads:
            raise ConfigError(
                f"model.heads must divide model.embedding, got {self.heads} and {self.embedding}"
            )
        if self.batch < 2:
            raise ConfigError(f"train.batch must be at least 2 (negatives), got {self.batch}")
        if self.branches != "global" and self.graphs is None:
            raise ConfigError(f"branches '{self.branches}' need --graphs; got none")


def run(flags: Flags) -> None:
    """Open what training needs, fit, write what it leaves."""
    torch.set_num_threads(flags.threads)
    device, seed = device_of(flags.device), seed_of(flags.seed, flags.fold)
    torch.manual_seed(seed)
    with store.reading(flags.dataset, store.DATASET) as dataset:
        if (size := dataset["images"].shape[1]) < flags.crop:
            raise ConfigError(
                f"model.crop is {flags.crop} and data.size {size}; crop is at most size"
            )
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
        vocabulary = Vocabulary.count(parts["train"].sentences, flags.min_count)
        architecture = {
            key: getattr(flags, key)
            for key in (each.name for each in fields(ModelSettings))
            if key != "weights"
        } | {"words": len(vocabulary), "regions": graphs.shape[0], "features": graphs.shape[1]}
        model = GaLR(**architecture)
        if flags.branches != "local":
            load_backbone(model.seen.pyramid, flags.backbone, flags.weights)
        print(
            f"{flags.variant} fold {flags.fold}: {parameters(model):,} parameters,"
            f" {len(vocabulary)} words, {len(parts['train'].rows)} images to learn from,"
            f" {len(parts['val'].rows)} to choose by, on {device}",
            flush=True,
        )
        fitted = fit(
            model.to(device),
            dataset["images"],
            graphs,
            parts["train"],
            parts["val"],
            vocabulary.numbers(parts["train"].sentences, flags.max_words),
            vocabulary.numbers(parts["val"].sentences, flags.max_words),
            crop=flags.crop,
            rotate=flags.rotate,
            epochs=flags.epochs,
            batch=flags.batch,
            sentences_per_epoch=flags.sentences_per_epoch,
            grouped=flags.grouped,
            learning_rate=flags.learning_rate,
            decay=flags.decay,
            decay_every=flags.decay_every,
            margin=flags.margin,
            clip=flags.clip,
            shared_negatives=flags.shared_negatives,
            edges=graphs.edges if flags.regions_move else None,
            seed=seed,
            device=device,
            tell=tell,
        )
        origin = {
            "dataset": store.provenance(dataset)["dataset"],
            "dataset_sha256": versions.sha256(flags.dataset),
            "graphs_sha256": versions.sha256(flags.graphs) if flags.graphs else None,
            "variant": flags.variant,
            "fold": flags.fold,
            "seed": flags.seed,
            "settings": {
                key: value
                for key, value in asdict(flags).items()
                if key in {each.name for each in (*fields(ModelSettings), *fields(TrainSettings))}
            },
            "device": str(device),
            "threads": flags.threads,  # on a CPU their number decides how sums are rounded
            "versions": versions.code(),
        }
    checkpoints.save(
        flags.checkpoint,
        checkpoints.Checkpoint(
            architecture=architecture,
            state=fitted.state,
            words=list(vocabulary.words),
            max_words=flags.max_words,
            epoch=fitted.epoch,
            mr=fitted.mr,
            provenance=origin,
        ),
    )
    history = pd.DataFrame(fitted.history)
    history["best"] = history["epoch"] == fitted.epoch
    history.to_csv(flags.history, index=False)


def tell(row: dict[str, Any]) -> None:
    """One line an epoch."""
    print(
        f"epoch {row['epoch']:>3}  loss {row['loss']:8.3f}  validation mR {row['mr']:6.2f}"
        f"  {row['pairs_a_second']:.0f} pairs/s",
        flush=True,
    )
