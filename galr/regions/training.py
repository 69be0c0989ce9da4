"""Train a detector on boxes in COCO form with mmdet's own Runner, from wherever it stopped."""

import hashlib
import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from galr.errors import ConfigError
from galr.io.coco import CocoDataset
from galr.progress import ProgressBar
from galr.regions import network
from galr.regions.detector_spec import DetectorSpec, TrainConfig
from galr.regions.mmdet_imports import BaseDetector, Hook, Runner, set_random_seed, suppress_output
from galr.regions.network import mmengine_safe_globals
from galr.regions.pipelines import train_pipeline

FINAL_LR_FACTOR = 0.01  # of the learning rate, where the cosine ends


def training_hash(detector: DetectorSpec, boxes: CocoDataset) -> str:
    """Hash what decides the trained weights, the pictures apart; 64 hexadecimal digits."""
    recipe = detector.train_config().hash_fields()
    decides = [detector.base, detector.overrides, detector.classes, recipe, boxes.to_document()]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def num_workers(threads: int) -> int:
    """How many processes decode images where this many threads are ours; none where there are two."""
    return min(max(threads - 2, 0), 4)


def train_network(
    detector: DetectorSpec,
    boxes: CocoDataset,
    images: Path,
    work_dir: Path,
    *,
    device: torch.device,
    workers: int,
    log: Callable[[str], None],
) -> BaseDetector:
    """Train a detector's network; an unfinished training of the same work folder is continued.

    Each epoch draws from its own seed, so that stopping and continuing trains the same network.

    Args:
        detector: what is trained, and the recipe.
        boxes: images and their boxes, of the detector's classes.
        images: the folder that the file names start from.
        work: where the Runner keeps its state after every epoch; name it after `fingerprint`.
        device: where it runs.
        workers: processes that decode images beside this one; 0 decodes in this one.
        tell: takes one line an epoch.

    Raises:
        ConfigError: the network cannot be built, or its loss is no longer a number.
        DataError: an image is damaged.
    """
    recipe = detector.train_config()
    work_dir.mkdir(parents=True, exist_ok=True)
    annotations = work_dir / "boxes.json"
    annotations.write_text(json.dumps(boxes.to_document()), encoding="utf-8")
    set_random_seed(recipe.seed)
    model = network.build_network(detector)
    network.init_weights(model)
    network.to_device(model, device)
    with suppress_output(), mmengine_safe_globals():
        runner = _Runner(
            model=model,
            work_dir=str(work_dir),
            train_dataloader=_dataloader_config(recipe, boxes, annotations, images, workers),
            train_cfg={"by_epoch": True, "max_epochs": recipe.epochs},
            optim_wrapper=_optimizer_config(recipe),
            param_scheduler=_lr_schedule(recipe, _steps_per_epoch(recipe, boxes) * recipe.epochs),
            default_hooks={
                "logger": None,
                # two, so that one is whole whenever the run is killed
                "checkpoint": {"type": "CheckpointHook", "interval": 1, "max_keep_ckpts": 2},
            },
            default_scope="mmdet",
            randomness={"seed": recipe.seed},
            log_level="ERROR",
            resume=True,
            experiment_name=str(time.time_ns()),  # mmengine keeps one logger and hub a name
        )
        runner.register_hook(_EpochHook(recipe, log), priority="LOWEST")  # after the state is kept
        return runner.train()


class _Runner(Runner):
    """mmengine's Runner, with a model that is already initialised and on its device."""

    def wrap_model(self, _: object, model: BaseDetector) -> BaseDetector:
        """Leave the model where it is; mmengine would take a GPU wherever there is one."""
        return model

    def _init_model_weights(self) -> None:
        """Leave the weights as they are."""


class _EpochHook(Hook):
    """Seed each epoch by its number, and say one line about it when it ends."""

    def __init__(self, recipe: TrainConfig, tell: Callable[[str], None]) -> None:
        self.config = recipe
        self.log = tell
        self.losses: list[torch.Tensor] = []
        self.began = 0.0
        self.bar: ProgressBar | None = None

    def before_train(self, runner: Runner) -> None:
        """Say where an unfinished training goes on."""
        if runner.epoch:
            self.log(f"continuing after epoch {runner.epoch}/{self.config.epochs}")
        self.bar = ProgressBar(
            desc="training", total=runner.max_iters, initial=runner.iter, unit="step"
        )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed whatever augmentation draws from."""
        set_random_seed(self.config.seed + runner.epoch)
        self.losses, self.began = [], time.monotonic()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Keep the loss, on its device."""
        if outputs is not None:
            self.losses.append(outputs["loss"].detach())
        if self.bar is not None:
            self.bar.set_description(
                f"epoch {runner.epoch + 1} of {self.config.epochs}", refresh=False
            )
            self.bar.update()

    def after_train_epoch(self, runner: Runner) -> None:
        """Say how the epoch went.

        Raises:
            ConfigError: the loss is no longer a number.
        """
        loss = float(torch.stack(self.losses).mean())
        epoch = f"epoch {runner.epoch + 1}/{self.config.epochs}"
        if not math.isfinite(loss):
            raise ConfigError(
                f"{epoch}: the detector's loss is {loss}; lower train.learning_rate,"
                f" now {self.config.learning_rate}, or raise train.warmup"
            )
        self.log(f"{epoch}  loss {loss:.3f}  {time.monotonic() - self.began:.1f} s")

    def after_train(self, runner: Runner) -> None:
        """End the progress bar."""
        if self.bar is not None:
            self.bar.close()


def _dataloader_config(
    recipe: TrainConfig, boxes: CocoDataset, annotations: Path, images: Path, workers: int
) -> dict[str, Any]:
    """The Runner's data loader: mmdet's COCO dataset, shuffled by seed and epoch."""
    return {
        "dataset": {
            "type": "CocoDataset",
            "ann_file": str(annotations.absolute()),
            "data_prefix": {"img": str(images.absolute())},
            "metainfo": {"classes": boxes.classes},
            "pipeline": [train_pipeline(recipe.input, recipe.scales, colours=recipe.colours)],
        },
        "batch_size": recipe.batch,
        "drop_last": len(boxes.images) >= recipe.batch,  # a last batch of one has no statistics
        "num_workers": workers,
        "worker_init_fn": {"type": _seed_worker},
        "sampler": {"type": "DefaultSampler", "shuffle": True},
    }


def _seed_worker(_: int) -> None:
    """Seed a decoding process anew in each epoch; mmengine would repeat the first one's draws."""
    seed = torch.initial_seed() % 2**32  # PyTorch's: of the epoch, different in each process
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  what mmdet's augmentations draw from


def _optimizer_config(recipe: TrainConfig) -> dict[str, Any]:
    """AdamW as RTMDet's authors use it: biases and normalisations do not decay."""
    adam = {"type": "AdamW", "lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    kinds = {"norm_decay_mult": 0, "bias_decay_mult": 0, "bypass_duplicate": True}
    clip = {"max_norm": 35}  # mmdet's usual guard against a single wild step
    return {"optimizer": adam, "paramwise_cfg": kinds, "clip_grad": clip}


def _lr_schedule(recipe: TrainConfig, steps: int) -> list[dict[str, Any]]:
    """A learning rate that rises in a line, then falls by a cosine, step by step."""
    rising = round(recipe.warmup * steps)
    rise = {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False, "begin": 0, "end": rising}
    fall = {
        "type": "CosineAnnealingLR",
        "by_epoch": False,
        "begin": rising,
        "end": steps,
        "T_max": steps - rising,
        "eta_min": recipe.learning_rate * FINAL_LR_FACTOR,
    }
    return [rise, fall] if rising else [fall]


def _steps_per_epoch(recipe: TrainConfig, boxes: CocoDataset) -> int:
    """Batches that the data loader gives."""
    return max(len(boxes.images) // recipe.batch, 1)
