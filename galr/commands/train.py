"""Train one variant of the model on one fold, and keep the epoch with the best validation mR.

IN   dataset.h5, graphs.h5, folds.csv, and features.h5 of frozen encoders
OUT  checkpoint.pt   weights of the best epoch, architecture, vocabulary, provenance
     history.csv     a row for each epoch: loss, learning rate, speed, validation recalls, whether it is the best
     run.json        settings, seeds, versions, device, git state, hashes of the inputs
     events/         the same curves for TensorBoard, with --events

The vocabulary is built from the fold's training sentences alone; an empty one is an error, and a split
of which it does not know more than half of the words is warned of, here and in the report.
A training that was killed goes on when the same command is called again: its state is in resume.pt beside
checkpoint.pt until it is finished.
"""

from dataclasses import dataclass
from pathlib import Path

from galr.errors import ConfigError
from galr.options import option
from galr.train.options import VariantOptions


@dataclass(frozen=True, kw_only=True)
class Options(VariantOptions):
    """The variant, its inputs and outputs, and which run of which experiment it is."""

    dataset: Path = option("dataset.h5")
    graphs: Path | None = option("graphs.h5; none for a model without a local branch", default=None)
    image_features: Path | None = option(
        "stored features of a frozen image encoder; none computes them", default=None
    )
    text_features: Path | None = option(
        "stored features of a frozen sentence encoder; none computes them", default=None
    )
    folds: Path = option("folds.csv")
    variant: str = option("name of the variant")
    fold: int = option("which fold, from 0")
    seed: int = option("seed of the experiment")
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    processes: int = option("that train together, each on a GPU of its own", default=1)
    threads: int = option("CPU threads", default=1)
    cache_gb: float = option(
        "keep up to this many GB of images on the device; more are read ahead", default=8.0
    )
    checkpoint_interval: float = option(
        "seconds between two saves of the unfinished training", default=300
    )
    checkpoint: Path = option("checkpoint.pt to write")
    history: Path = option("history.csv to write")
    record: Path = option("run.json to write")
    events: Path | None = option("folder for TensorBoard", default=None)

    def __post_init__(self) -> None:
        """Check values against each other."""
        super().__post_init__()
        if self.processes < 1:
            raise ConfigError(f"--processes must be at least 1, got {self.processes}")
        if self.batch < self.processes:
            raise ConfigError(
                f"train.batch must be at least --processes, a pair for each, got {self.batch} and"
                f" {self.processes}"
            )
        if self.branches != "global" and self.graphs is None:
            raise ConfigError(f"model.branches '{self.branches}' needs --graphs; got none")


def run(options: Options) -> None:
    """Open the inputs, train, write the best epoch."""
    # Imported here, so that --help starts without torch.
    from contextlib import ExitStack

    import torch

    from galr.devices import resolve_device
    from galr.io.atomic import atomic_write
    from galr.io.formats import Dataset
    from galr.model.checkpoint import save_checkpoint
    from galr.model.galr import count_parameters
    from galr.train import run as training
    from galr.train.distributed import launch_fabric
    from galr.train.inputs import load_inputs, open_features
    from galr.train.resume import ResumeState
    from galr.train.run_record import run_record, write_run_record
    from galr.train.splits import fold_seed

    torch.set_num_threads(options.threads)
    seed = fold_seed(options.seed, options.fold)
    with ExitStack() as stack:
        dataset = stack.enter_context(Dataset.open(options.dataset))
        inputs = load_inputs(dataset, options.graphs, options.folds, options.fold, options)
        fabric = launch_fabric(resolve_device(options.device), options.processes, options.precision)
        torch.manual_seed(seed)
        model = training.build_model(inputs, options)
        torch.manual_seed(seed + fabric.global_rank)  # dropout differs between processes
        provenance = training.run_provenance(
            options.dataset,
            options.graphs,
            options.folds,
            (options.image_features, options.text_features),
            options,
            variant=options.variant,
            fold=options.fold,
            seed=options.seed,
            fabric=fabric,
            threads=options.threads,
        ) | training.word_provenance(inputs)
        features = open_features(
            options.image_features,
            options.text_features,
            provenance["dataset_sha256"],
            model,
            options,
            stack,
        )
        resume = ResumeState(
            options.checkpoint.with_name("resume.pt"), provenance, options.checkpoint_interval
        )
        if fabric.is_global_zero:
            record = run_record(provenance, fold_seed=seed, device=str(fabric.device))
            write_run_record(options.record, record, resumed=resume.exists())
        fabric.print(
            f"{options.variant} fold {options.fold}: {count_parameters(model):,} parameters,"
            f" {len(inputs.vocabulary)} words, {len(inputs.splits['train'].rows)} training and"
            f" {len(inputs.splits['val'].rows)} validation images, on {fabric.device}",
            flush=True,
        )
        for line in inputs.warnings():
            fabric.print(f"warning: {line}", flush=True)
        result = training.run_training(
            inputs,
            model,
            fabric,
            resume,
            options,
            features,
            seed=seed,
            cache_bytes=int(options.cache_gb * 1e9),
            events=options.events,
        )
    if fabric.is_global_zero:
        checkpoint = training.build_checkpoint(inputs, result, options, provenance)
        with atomic_write(options.checkpoint) as partial:
            save_checkpoint(partial, checkpoint)
        training.write_history(options.history, result)
        resume.delete()
