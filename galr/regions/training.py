"""Train a detector on a COCO dataset with mmengine's Runner; an interrupted training is resumed."""

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

FINAL_LR_FACTOR = 0.01  # the cosine decays the learning rate to this fraction of it


def training_hash(detector: DetectorSpec, boxes: CocoDataset) -> str:
    """Return the SHA-256 of all that determines the trained weights, except the pixels of the images."""
    fields = detector.train_config().hash_fields()
    hashed = [detector.base, detector.overrides, detector.classes, fields, boxes.to_document()]
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def num_workers(threads: int) -> int:
    """Return how many of the CPU threads go to processes that decode images; two are left to training."""
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
    """Train a detector's network, or resume an interrupted training in the same work folder.

    Each epoch has its own seed, so that an interrupted and resumed training gives the same network.

    Args:
        detector: the network and its training settings.
        boxes: the images and boxes to train on, with the detector's classes.
        images: the folder that the file names of `boxes` are relative to.
        work_dir: the folder where the Runner saves its state after each epoch; `training_hash` gives it a name.
        device: the device to train on.
        workers: number of processes that decode images; 0 decodes in this process.
        log: called with one line per epoch.

    Returns:
        The trained network, on `device`.

    Raises:
        ConfigError: the network cannot be built, or the loss is not finite.
        DataError: an image is damaged.
    """
    config = detector.train_config()
    work_dir.mkdir(parents=True, exist_ok=True)
    annotations = work_dir / "boxes.json"
    annotations.write_text(json.dumps(boxes.to_document()), encoding="utf-8")
    set_random_seed(config.seed)
    model = network.build_network(detector)
    network.init_weights(model)
    network.to_device(model, device)
    with suppress_output(), mmengine_safe_globals():
        runner = _Runner(
            model=model,
            work_dir=str(work_dir),
            train_dataloader=_dataloader_config(config, boxes, annotations, images, workers),
            train_cfg={"by_epoch": True, "max_epochs": config.epochs},
            optim_wrapper=_optimizer_config(config),
            param_scheduler=_lr_schedule(config, _steps_per_epoch(config, boxes) * config.epochs),
            default_hooks={
                "logger": None,
                # two, so that one is complete if the process is killed while it writes
                "checkpoint": {"type": "CheckpointHook", "interval": 1, "max_keep_ckpts": 2},
            },
            default_scope="mmdet",
            randomness={"seed": config.seed},
            log_level="ERROR",
            resume=True,
            experiment_name=str(time.time_ns()),  # unique: mmengine reuses loggers by name
        )
        runner.register_hook(_EpochHook(config, log), priority="LOWEST")  # after the state is saved
        return runner.train()


class _Runner(Runner):
    """mmengine's Runner for a model that is already initialised and on its device."""

    def wrap_model(self, _: object, model: BaseDetector) -> BaseDetector:
        """Return the model as it is; mmengine would move it to a GPU if there is one."""
        return model

    def _init_model_weights(self) -> None:
        """Do nothing: the weights are initialised."""


class _EpochHook(Hook):
    """Seed each epoch by its number, show the progress, and log one line per epoch."""

    def __init__(self, config: TrainConfig, log: Callable[[str], None]) -> None:
        self.config = config
        self.log = log
        self.losses: list[torch.Tensor] = []
        self.start_time = 0.0
        self.bar: ProgressBar | None = None

    def before_train(self, runner: Runner) -> None:
        """Log the epoch that an interrupted training resumes after, and show a progress bar."""
        if runner.epoch:
            self.log(f"resuming after epoch {runner.epoch}/{self.config.epochs}")
        self.bar = ProgressBar(
            desc="training", total=runner.max_iters, initial=runner.iter, unit="step"
        )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the random generators that augmentation uses."""
        set_random_seed(self.config.seed + runner.epoch)
        self.losses, self.start_time = [], time.monotonic()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Collect the loss, without waiting for its device."""
        if outputs is not None:
            self.losses.append(outputs["loss"].detach())
        if self.bar is not None:
            self.bar.set_description(
                f"epoch {runner.epoch + 1} of {self.config.epochs}", refresh=False
            )
            self.bar.update()

    def after_train_epoch(self, runner: Runner) -> None:
        """Log the mean loss and the duration of the epoch.

        Raises:
            ConfigError: the loss is not finite.
        """
        loss = float(torch.stack(self.losses).mean())
        epoch = f"epoch {runner.epoch + 1}/{self.config.epochs}"
        if not math.isfinite(loss):
            raise ConfigError(
                f"{epoch}: the detector's loss is {loss}; lower train.learning_rate,"
                f" now {self.config.learning_rate}, or raise train.warmup"
            )
        self.log(f"{epoch}  loss {loss:.3f}  {time.monotonic() - self.start_time:.1f} s")

    def after_train(self, runner: Runner) -> None:
        """Close the progress bar."""
        if self.bar is not None:
            self.bar.close()


def _dataloader_config(
    config: TrainConfig, boxes: CocoDataset, annotations: Path, images: Path, workers: int
) -> dict[str, Any]:
    """Return the Runner's data loader: mmdet's COCO dataset, shuffled by seed and epoch."""
    return {
        "dataset": {
            "type": "CocoDataset",
            "ann_file": str(annotations.absolute()),
            "data_prefix": {"img": str(images.absolute())},
            "metainfo": {"classes": boxes.classes},
            "pipeline": [train_pipeline(config.input, config.scales, colours=config.colours)],
        },
        "batch_size": config.batch,
        "drop_last": len(boxes.images) >= config.batch,  # batch statistics need more than one image
        "num_workers": workers,
        "worker_init_fn": {"type": _seed_worker},
        "sampler": {"type": "DefaultSampler", "shuffle": True},
    }


def _seed_worker(_: int) -> None:
    """Seed a decoding process anew in each epoch; mmengine would repeat the random numbers of the first epoch."""
    seed = torch.initial_seed() % 2**32  # PyTorch derives it from the epoch's seed and the process
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  mmdet's augmentations use this generator


def _optimizer_config(config: TrainConfig) -> dict[str, Any]:
    """Return AdamW as RTMDet's authors use it: no weight decay of biases and normalization layers."""
    adam = {"type": "AdamW", "lr": config.learning_rate, "weight_decay": config.weight_decay}
    param_groups = {"norm_decay_mult": 0, "bias_decay_mult": 0, "bypass_duplicate": True}
    clip = {"max_norm": 35}  # as in most of mmdet's configs
    return {"optimizer": adam, "paramwise_cfg": param_groups, "clip_grad": clip}


def _lr_schedule(config: TrainConfig, num_steps: int) -> list[dict[str, Any]]:
    """Return the schedule of the learning rate: a linear warm-up, then a cosine decay, updated each step."""
    num_warmup = round(config.warmup * num_steps)
    warmup = {
        "type": "LinearLR",
        "start_factor": 0.01,
        "by_epoch": False,
        "begin": 0,
        "end": num_warmup,
    }
    decay = {
        "type": "CosineAnnealingLR",
        "by_epoch": False,
        "begin": num_warmup,
        "end": num_steps,
        "T_max": num_steps - num_warmup,
        "eta_min": config.learning_rate * FINAL_LR_FACTOR,
    }
    return [warmup, decay] if num_warmup else [decay]


def _steps_per_epoch(config: TrainConfig, boxes: CocoDataset) -> int:
    """Return the number of batches per epoch."""
    return max(len(boxes.images) // config.batch, 1)
