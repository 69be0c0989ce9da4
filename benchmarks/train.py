"""How fast training and evaluation are, beside the published way and beside the bare network.

    python benchmarks/train.py [--device cuda] [--precision bf16] [--plot growth.svg] [--only training] ...

All in one run on one machine, on drawn pictures: JPEG files of 256 pixels, and the same in a dataset.h5.
Every contender has the model of config/config.yaml, weights drawn by seed.

`published` is the published way, written from its description: each pair opens, resizes, turns and crops
its own picture with PIL in one of three workers and encodes it, in float32, and every step waits for the
device after forward, backward and optimiser. `ours` is `galr.training`, pairs shuffled freely as released;
`ours, grouped` keeps the pairs of an image together, and encodes their picture once. `limit` is forward,
backward and optimiser alone, on random tensors that lie on the device, of the very shapes that ours had.
Ours and its limit take turns, a few steps each, and their ratio is the median over the turns; the published
way is timed before them and after them, once its workers are ahead. Each contender has a process of its
own. Memory is that process's peak beyond its imports, pictures held included and workers left out; on a
GPU, the most allocated.

Evaluation: the published way runs the whole model on every block of 128 images with every block of 128
sentences. So many of these passes are timed as --passes says, and all are told from them by the number of
pictures they encode; opening pictures is left out. Ours, everything from dataset.h5 to recalls, is timed on
as many images as --evaluated says and told in proportion.
Growth: seconds of one epoch of ours, one sentence an image, for some numbers of images.

What is not said depends on the device: on a CPU a run takes about four minutes on two cores.
"""

import argparse
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from math import ceil
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import galr.__main__  # noqa: F401  says how threads wait before torch is loaded

import h5py  # isort: skip
import matplotlib.figure  # isort: skip
import numpy as np  # isort: skip
import torch  # isort: skip
import yaml  # isort: skip
from PIL import Image  # isort: skip
from torch import Tensor  # isort: skip
from torch.utils.data import DataLoader, Dataset  # isort: skip
from torchvision import transforms  # isort: skip

from galr.devices import resolve_device
from galr.graphs import drea
from galr.graphs.detections import Detections
from galr.graphs.edges import EdgeConfig
from galr.io.images import load_resized
from galr.model.galr import GaLR, GraphBatch
from galr.model.text import pad_tokens
from galr.train.augment import IMAGENET_MEAN, IMAGENET_STD
from galr.train.batches import PairBatches
from galr.train.distributed import Precision, launch_fabric
from galr.train.embed import GraphStore
from galr.train.image_store import InMemoryImages, open_image_store
from galr.train.loop import validate
from galr.train.loss import TripletSum
from galr.train.options import ModelOptions
from galr.train.splits import SplitData
from galr.train.step import TrainStep

PARTS = ("training", "evaluation", "growth")
CONFIG = Path(__file__).parents[1] / "config" / "config.yaml"
FILE, STORED = 256, 278  # pixels of a picture, in its file and in dataset.h5
DISTINCT = 64  # pictures drawn; the images of the dataset repeat them
EACH, WORDS = 5, 1500  # sentences an image, words of the vocabulary
REGIONS, CLASSES = 12, 15  # of an image; what a detector tells apart
EDGES = EdgeConfig("gaussian", 0.2)
BLOCK = 128  # images and sentences of a block in the published evaluation
WORKERS = 3  # of the published way
LEARNING_RATE, MARGIN, CLIP = 2e-4, 0.2, 2.0
LIBRARIES = [
    "galr.__main__",
    "galr.commands.train",
]  # imported once: that takes longer than many a step
DEFAULTS: dict[str, dict[str, Any]] = {
    "cpu": {
        "images": 1000, "batch": 16, "steps": 2, "warm": 2, "turns": 5, "passes": 2,
        "evaluated": 256, "growth": [32, 64, 128],
    },
    "cuda": {
        "images": 10_000, "batch": 100, "steps": 20, "warm": 20, "turns": 5, "passes": 387,
        "evaluated": 1093, "growth": [1250, 2500, 5000, 10_000],
    },
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What every contender is told.

    folder: holds the pictures' files and dataset.h5.
    device: its name.
    threads: of the CPU.
    images: in dataset.h5.
    batch: pairs a step.
    crop: size the model sees, pixels.
    precision: of ours and of the limit.
    compiled: as `train.compile` in the config; of ours and of the limit.
    held: bytes of pictures that ours may hold on the device.
    """

    folder: Path
    device: str
    threads: int
    images: int
    batch: int
    crop: int
    precision: Precision
    compiled: bool
    held: int


class Shape(NamedTuple):
    """Of a step: how many images it encodes, and how long its sentences are, (B,) int64."""

    images: int
    lengths: Tensor


class Turn(NamedTuple):
    """Some steps' seconds and shapes."""

    seconds: float
    shapes: list[Shape]


class Measured(NamedTuple):
    """A contender: pairs a second, milliseconds a step, images a step, MB."""

    rate: float
    step: float
    images: float
    memory: float


def main() -> None:
    """Draw, let all contenders work, print tables."""
    given = arguments()
    device = resolve_device(given.device)
    for name, value in DEFAULTS[device.type].items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    with TemporaryDirectory() as folder:
        work = Work(
            Path(folder),
            str(device),
            given.threads,
            max(given.images, *given.growth, given.evaluated),
            given.batch,
            given.crop,
            given.precision,
            given.compile,
            int(given.held * 1e9),
        )
        draw(work)
        print(
            f"{name_of(device)}, {work.threads} threads, torch {torch.__version__}, load"
            f" {os.getloadavg()[0]:.1f}; {work.images:,} images, {work.batch} pairs a step,"
            f" {work.crop} pixels, ours and limit in {work.precision}"
        )
        if "training" in given.only:
            compare_training(work, given.turns, given.steps, given.warm)
        if "evaluation" in given.only:
            compare_evaluation(work, given.tested, given.passes, given.evaluated)
        if "growth" in given.only:
            grow(work, sorted(given.growth), given.plot)
        print(f"load at the end {os.getloadavg()[0]:.1f}")


def arguments() -> argparse.Namespace:
    """Read the flags; what has no default here depends on the device."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    flag = partial(parser.add_argument, metavar="N", type=int)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="leave out others")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true", help="ours and its limit are compiled")
    flag("--threads", default=os.cpu_count() or 1, help="of the CPU")
    flag("--images", help="in the dataset")
    flag("--batch", help="pairs a step")
    flag("--crop", default=256, help="pixels that the model sees")
    parser.add_argument("--held", default=8.0, metavar="GB", type=float, help="0 reads ahead")
    flag("--turns", help="of each contender")
    flag("--steps", help="of a turn")
    flag("--warm", help="steps before the first turn")
    flag("--tested", default=1093, help="images of the evaluation told: RSICD's")
    flag("--passes", help="block passes of the published evaluation timed")
    flag("--evaluated", help="images of our evaluation timed")
    flag("--growth", nargs="+", help="numbers of images")
    parser.add_argument("--plot", metavar="FILE.svg", type=Path, help="draw the growth")
    return parser.parse_args()


def compare_training(work: Work, turns: int, steps: int, warm: int) -> None:
    """Print the table of pairs a second and memory."""

    def published_turns() -> list[tuple[Turn, float]]:
        with alone(published, work) as ask:
            ask(warm)
            return [ask(steps) for _ in range(ceil(turns / 2))]

    theirs = published_turns()
    rows = []
    for name, grouped in (("ours", False), ("ours, grouped", True)):
        with alone(partial(ours, grouped), work) as ask, alone(limit, work) as ask_limit:
            ask_limit(ask(warm)[0].shapes)
            own, bare = [], []
            for _ in range(turns):
                own.append(ask(steps))
                bare.append(ask_limit(own[-1][0].shapes))
        share = median(b.seconds / o.seconds for (o, _), (b, _) in zip(own, bare, strict=True))
        rows.append((name, measured(own, work.batch), f"{share:10.3f}"))
        rows.append(("  limit of it", measured(bare, work.batch), ""))
    base = measured(theirs + published_turns(), work.batch)
    titles = f"{'pairs/s':>9}{'ms a step':>11}{'images':>8}{'MB':>9}"
    print(f"{'training':24}{titles}{'to published':>14}{'to limit':>10}")
    for name, found, share in [("published", base, ""), *rows]:
        print(
            f"{name:24}{found.rate:9.2f}{found.step:11.1f}{found.images:8.1f}{found.memory:9,.0f}"
            f"{found.rate / base.rate:14.2f}{share}",
            flush=True,
        )


def measured(turns: list[tuple[Turn, float]], batch: int) -> Measured:
    """Medians over turns, each with the memory held until then."""
    step = median(turn.seconds / len(turn.shapes) for turn, _ in turns)
    images = np.mean([shape.images for turn, _ in turns for shape in turn.shapes])
    return Measured(batch / step, 1000 * step, float(images), turns[-1][1])


def compare_evaluation(work: Work, tested: int, passes: int, evaluated: int) -> None:
    """Print the seconds of one evaluation of `tested` images."""
    blocks = [ceil(number / BLOCK) for number in (tested, tested * EACH)]
    full = blocks[1] * tested / BLOCK  # in passes over a whole block of images
    with alone(published_evaluation, work) as ask:
        ask(1)
        theirs = ask(passes)[0] / passes * full
    with alone(evaluation, work) as ask:
        ask(work.batch)
        mine = ask(evaluated)[0] / evaluated * tested
    print(
        f"evaluation of {tested:,} images and {tested * EACH:,} sentences: published"
        f" {theirs:,.1f} s ({passes} of {blocks[0] * blocks[1]} block passes timed), ours"
        f" {mine:,.1f} s ({evaluated} images timed), ratio {theirs / mine:.1f}",
        flush=True,
    )


def grow(work: Work, sizes: list[int], plot: Path | None) -> None:
    """Print, and draw on request, the seconds of an epoch for some numbers of images."""
    print(f"{'images':>8}{'pictures':>12}{'s an epoch':>12}{'ms a pair':>11}{'MB':>9}")
    seconds = []
    with alone(epoch, work) as ask:
        ask(min(work.batch, sizes[0]))
        for images in sizes:
            (taken, where), memory = ask(images)
            seconds.append(taken)
            print(
                f"{images:8,}{where:>12}{taken:12.2f}{1000 * taken / images:11.2f}{memory:9,.0f}",
                flush=True,
            )
    if plot is not None:
        draw_growth(plot, sizes, seconds, work)


def draw_growth(path: Path, sizes: list[int], seconds: list[float], work: Work) -> None:
    """Draw epochs' seconds over numbers of images, beside the line through nothing that fits best."""
    figure = matplotlib.figure.Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    across = np.array([0, *sizes])
    slope = np.dot(sizes, seconds) / np.dot(sizes, sizes)
    axes.plot(across, slope * across, color="0.7", label=f"{1000 * slope:.2f} ms an image")
    axes.plot(sizes, seconds, "o", label="measured")
    axes.set(xlabel="images, one sentence each", ylabel="seconds an epoch", xlim=0, ylim=0)
    axes.set_title(f"{name_of(torch.device(work.device))}, {work.crop} pixels, {work.precision}")
    axes.legend(frameon=False)
    figure.savefig(path)


@contextmanager
def alone(make: Callable[[Work], Callable[[Any], Any]], work: Work) -> Iterator[Callable[..., Any]]:
    """Make a contender in a process of its own, and give what asks it: answer and MB held until then."""
    context = get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, make, work))
    process.start()
    there.close()

    def ask(question: Any) -> Any:  # noqa: ANN401  a contender's own question and answer
        here.send(question)
        return here.recv()

    yield ask
    here.send(None)
    process.join()


def serve(pipe: Any, make: Callable[[Work], Callable[[Any], Any]], work: Work) -> None:  # noqa: ANN401
    """Answer until nothing more is asked."""
    torch.set_num_threads(work.threads)
    before = peak()
    contender = make(work)
    for question in iter(pipe.recv, None):
        answer = contender(question)
        cuda = work.device.startswith("cuda")
        held = torch.cuda.max_memory_allocated(work.device) / 2**20 if cuda else peak() - before
        pipe.send((answer, held))


def ours(grouped: bool, work: Work) -> Callable[[int], Turn]:
    """Our loop: so many steps further in it."""
    device = torch.device(work.device)
    learner, fed = trainer(work)
    learner.start_epoch(1)
    feed = fed(work.images, grouped, None)[0]
    steps = chain.from_iterable(feed.epoch() for _ in count())

    def turn(many: int) -> Turn:
        start, shapes = time.perf_counter(), []
        for step in islice(steps, many):
            learner.step(step)
            shapes.append(Shape(len(step.pixels), step.lengths))
        return Turn(seconds_since(start, device), shapes)

    return turn


def trainer(
    work: Work,
) -> tuple[TrainStep, Callable[[int, bool, int | None], tuple[PairBatches, str]]]:
    """What learns, and what feeds it.

    The feed is of the first so many images, its pairs grouped or not, with so many sentences of each image
    an epoch; beside it stands whether the pictures are held or read ahead.
    """
    device = torch.device(work.device)
    fabric = launch_fabric(device, 1, work.precision)
    learner = TrainStep(
        built(work),
        TripletSum(MARGIN),
        fabric,
        learning_rate=LEARNING_RATE,
        lr_decay=1.0,
        lr_decay_every=1,
        grad_clip_norm=CLIP,
        compiled=work.compiled,
    )
    stored = h5py.File(work.folder / "dataset.h5")["images"]

    def fed(images: int, grouped: bool, sentences: int | None) -> tuple[PairBatches, str]:
        pictures = open_image_store(stored, range(images), device, max_bytes=work.held)
        feed = PairBatches(
            pictures,
            drawn_graphs(images).to(device),
            drawn_part(images),
            drawn_words(images * EACH),
            input_size=work.crop,
            max_rotation=90,
            batch_size=work.batch,
            sentences_per_epoch=sentences,
            group_by_image=grouped,
            shared_negatives=False,
            edges=EDGES,
            seed=0,
        )
        return feed, "held" if isinstance(pictures, InMemoryImages) else "read ahead"

    return learner, fed


def limit(work: Work) -> Callable[[list[Shape]], Turn]:
    """Forward, backward and optimiser on tensors that lie there: steps of some shapes."""
    device = torch.device(work.device)
    model = built(work).to(device).train()
    if work.compiled:
        for name, part in model.named_children():
            if name != "text":  # as our learner does
                part.compile(dynamic=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    loss, itself = TripletSum(MARGIN), torch.eye(work.batch, dtype=torch.bool, device=device)
    pixels = torch.randn(work.batch, 3, work.crop, work.crop, device=device)
    pixels = pixels.to(memory_format=torch.channels_last)
    graph = drawn_graphs(work.batch).to(device).batch(range(work.batch))
    words = torch.randint(1, WORDS, (work.batch, 100), device=device)
    low = work.precision == "bf16"

    def turn(shapes: list[Shape]) -> Turn:
        start = time.perf_counter()
        for images, lengths in shapes:
            optimiser.zero_grad(set_to_none=True)
            place = torch.arange(len(lengths), device=device) * images // len(lengths)
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                seen = model.encode_images(
                    pixels[:images], GraphBatch(*(t[:images] for t in graph))
                )
                said = model.encode_sentences(words[: len(lengths), : int(lengths.max())], lengths)
            loss(seen.float()[place] @ said.float().T, itself).backward()
            optimiser.step()
        return Turn(seconds_since(start, device), shapes)

    return turn


def published(work: Work) -> Callable[[int], Turn]:
    """The published loop: so many steps further in it."""
    warnings.filterwarnings("ignore", "This DataLoader will create")  # three, however few cores
    device = torch.device(work.device)
    model = built(work).to(device).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loss, itself = TripletSum(MARGIN), torch.eye(work.batch, dtype=torch.bool, device=device)
    loader = DataLoader(
        Pairs(work),
        batch_size=work.batch,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        collate_fn=collated,
        pin_memory=device.type == "cuda",
    )
    batches = chain.from_iterable(loader for _ in count())

    def turn(many: int) -> Turn:
        start, shapes = time.perf_counter(), []
        for pixels, graph, words, lengths in islice(batches, many):
            similarity = model(
                pixels.to(device),
                GraphBatch(*(t.to(device) for t in graph)),
                words.to(device),
                lengths,
            )
            wait(device)
            optimiser.zero_grad()
            loss(similarity, itself).backward()
            wait(device)
            optimiser.step()
            wait(device)
            shapes.append(Shape(len(pixels), lengths))
        return Turn(seconds_since(start, device), shapes)

    return turn


class Pairs(Dataset[tuple[Tensor, GraphBatch, list[int]]]):
    """Pairs as the published way opens them, each with its own picture."""

    def __init__(self, work: Work) -> None:
        self._folder = work.folder
        self._graphs = drawn_graphs(work.images)
        self._words = drawn_words(work.images * EACH)
        self._transform = transforms.Compose(
            [
                transforms.Resize((STORED, STORED)),
                transforms.RandomRotation((0, 90)),
                transforms.RandomCrop(work.crop),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        """Sentences of all images."""
        return len(self._words)

    def __getitem__(self, pair: int) -> tuple[Tensor, GraphBatch, list[int]]:
        """Open, resize, turn and crop the picture of a sentence."""
        image = pair // EACH
        graph = GraphBatch(*(table[0] for table in self._graphs.batch([image])))
        with Image.open(file_of(self._folder, image)) as picture:
            return self._transform(picture.convert("RGB")), graph, self._words[pair]


def collated(
    pairs: list[tuple[Tensor, GraphBatch, list[int]]],
) -> tuple[Tensor, GraphBatch, Tensor, Tensor]:
    """Stack pairs: pixels, graphs, words and their lengths."""
    pixels, graphs, words = zip(*pairs, strict=True)
    stacked = GraphBatch(*(torch.stack(tables) for tables in zip(*graphs, strict=True)))
    return torch.stack(pixels), stacked, *pad_tokens(list(words))


def published_evaluation(work: Work) -> Callable[[int], float]:
    """Seconds of so many passes of the whole model over a block of images and a block of sentences."""
    device = torch.device(work.device)
    model = built(work).to(device).eval()
    pixels = torch.randn(BLOCK, 3, work.crop, work.crop)
    graph = drawn_graphs(BLOCK).batch(range(BLOCK))
    words, lengths = pad_tokens(drawn_words(BLOCK))

    @torch.inference_mode()
    def passes(many: int) -> float:
        start = time.perf_counter()
        for _ in range(many):
            on_device = GraphBatch(*(table.to(device) for table in graph))
            model(pixels.to(device), on_device, words.to(device), lengths).cpu()
        return seconds_since(start, device)

    return passes


def evaluation(work: Work) -> Callable[[int], float]:
    """Seconds of our evaluation of the first so many images."""
    device = torch.device(work.device)
    model = built(work).to(device)
    stored = h5py.File(work.folder / "dataset.h5")["images"]

    def evaluate(images: int) -> float:
        pictures = open_image_store(
            stored, range(images), device, max_bytes=0
        )  # each is looked at once
        graphs, part = drawn_graphs(images).to(device), drawn_part(images)
        words = drawn_words(images * EACH)
        start = time.perf_counter()
        validate(model, pictures, graphs, part, words, input_size=work.crop, batch_size=BLOCK)
        return seconds_since(start, device)

    return evaluate


def epoch(work: Work) -> Callable[[int], tuple[float, str]]:
    """Seconds of an epoch of the first so many images; where their pictures are."""
    device = torch.device(work.device)
    learner, fed = trainer(work)
    learner.start_epoch(1)

    def run(images: int) -> tuple[float, str]:
        feed, where = fed(images, False, 1)
        wait(device)
        start = time.perf_counter()
        for step in feed.epoch():
            learner.step(step)
        return seconds_since(start, device), where

    return run


def built(work: Work) -> GaLR:
    """The model of config.yaml, weights drawn by seed."""
    torch.manual_seed(0)
    said = ModelOptions(**yaml.safe_load(CONFIG.read_text())["model"]).architecture()
    said |= {"crop": work.crop, "words": WORDS, "regions": 20, "features": CLASSES + 5}
    return GaLR(**said)


def draw(work: Work) -> None:
    """Write pictures that cost as much to open as aerial ones do, and dataset.h5 of them."""
    random = np.random.default_rng(0)
    stored = np.empty((DISTINCT, STORED, STORED, 3), np.uint8)
    for image in range(DISTINCT):
        coarse = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((FILE, FILE), Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth) + random.normal(0, 8, (FILE, FILE, 3))
        file = file_of(work.folder, image)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, quality=90)
        stored[image] = load_resized(file, STORED).pixels
    with h5py.File(work.folder / "dataset.h5", "w") as file:
        shape = (work.images, STORED, STORED, 3)
        table = file.create_dataset("images", shape, np.uint8, chunks=(1, *shape[1:]))
        for start in range(0, work.images, DISTINCT):
            table[start : start + DISTINCT] = stored[: work.images - start]


def file_of(folder: Path, image: int) -> Path:
    """Where the picture of an image lies."""
    return folder / f"{image % DISTINCT}.jpg"


def drawn_part(images: int) -> SplitData:
    """All sentences different, `EACH` an image."""
    owners = np.repeat(np.arange(images, dtype=np.int32), EACH)
    return SplitData(list(range(images)), [f"sentence {i}" for i in range(len(owners))], owners)


def drawn_words(sentences: int) -> list[list[int]]:
    """Word numbers of sentences of 6 to 17 words, 11.5 in the mean as RSICD's."""
    random = np.random.default_rng(0)
    return [random.integers(1, WORDS, size).tolist() for size in random.integers(6, 18, sentences)]


def drawn_graphs(images: int) -> GraphStore:
    """What DREA makes of regions scattered over pictures."""
    random = np.random.default_rng(0)
    corner = random.uniform(0, FILE - 64, (images * REGIONS, 2))
    made = drea.build_graphs(
        Detections(
            np.arange(images + 1) * REGIONS,
            np.concatenate([corner, corner + random.uniform(8, 64, corner.shape)], axis=1),
            random.uniform(0.3, 1, len(corner)),
            random.integers(CLASSES, size=len(corner)),
            np.full((images, 2), FILE),
        ),
        CLASSES,
        min_score=0.3,
        max_regions=20,
        similarity="cosine",
        similarity_threshold=0.98,
        edges=EDGES,
    )
    tables = (made.representation, made.adjacency, made.mask)
    return GraphStore(*(torch.from_numpy(table) for table in tables), EDGES)


def wait(device: torch.device) -> None:
    """Until the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_since(start: float, device: torch.device) -> float:
    """Until the device has done all it was told since."""
    wait(device)
    return time.perf_counter() - start


def peak() -> float:
    """Most memory this process has had so far, MB; the kernel tells a new program from what it grew out of."""
    said = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(said[1]) / 2**10 if said else float("nan")


def name_of(device: torch.device) -> str:
    """What computes."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    sys.exit(main())
