"""What frozen encoders save: an epoch on their stored features against the same epoch on pixels, and the cost of a view.

    python benchmarks/encoders.py --device cpu --images 256

The images are random and the network's weights too, so nothing is downloaded; speed does not depend on either.
Prints one line a measurement: images or pairs a second, the ratio to the straightforward way, and the peak memory.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import torch

from galr.features.views import resize
from galr.model.galr import GaLR
from galr.train.augment import rotate_crop, sample_turns
from galr.train.batches import Batch
from galr.train.distributed import launch_fabric
from galr.train.graph_store import empty_graphs
from galr.train.loss import build_loss
from galr.train.optimizer import Schedule
from galr.train.step import TrainStep

SENTENCES, WIDTH, STORED, INPUT = 5, 384, 256, 224


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--images", type=int, default=256, help="images of an epoch")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    args = parser.parse_args()
    device = torch.device(args.device)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (args.images, 3, STORED, STORED), generator=generator)
    images = images.to(torch.uint8).to(device).contiguous(memory_format=torch.channels_last)
    sentences = torch.randn(args.images, SENTENCES, WIDTH, generator=generator).to(device)
    frozen = Training(args.backbone, device, args.precision, freeze=True)
    tables: list[torch.Tensor] = []

    def store_view() -> None:
        tables[:] = []
        with torch.inference_mode():
            for some in images.split(64):
                pixels = resize(some, INPUT, frozen.model.pixel_statistics)
                tables.append(frozen.model.image_features(pixels)[0])

    seconds = measure(store_view, device)
    print(f"{args.device} {args.backbone}, {args.precision}: torch {torch.__version__}")
    print(f"features of one view: {args.images / seconds:.1f} images a second")
    stored = torch.cat(tables).clone()  # no inference tensor

    def epoch_stored() -> None:
        for index in torch.arange(args.images).split(64):
            frozen.step((stored[index],), sentences[index])

    def epoch_pixels() -> None:
        for index in torch.arange(args.images).split(64):
            pixels = resize(images[index], INPUT, frozen.model.pixel_statistics)
            frozen.step(pixels, sentences[index])

    pairs = args.images * SENTENCES
    fast, slow = measure(epoch_stored, device), measure(epoch_pixels, device)
    print(f"frozen, on stored features: {pairs / fast:,.0f} pairs a second")
    print(f"frozen, on pixels: {pairs / slow:,.0f} pairs a second, {slow / fast:.0f} times slower")
    tuned = Training(args.backbone, device, args.precision, freeze=False)

    def epoch_tuned() -> None:
        for index in torch.arange(args.images).split(64):
            views = sample_turns(len(index), 0.7, generator)
            pixels = rotate_crop(images[index], views, INPUT, tuned.model.pixel_statistics)
            tuned.step(pixels, sentences[index])

    seconds = measure(epoch_tuned, device)
    print(
        f"fine-tuned: {args.images / seconds:.1f} images a second, {seconds / fast:.0f} times slower than stored"
    )
    if device.type == "cuda":
        print(f"peak memory of the GPU: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory: {peak:.2f} GB; threads: {torch.get_num_threads()}")


class Training:
    """A model on a pooled feature and frozen sentence features, with its training step.

    Args:
        backbone: timm's name of the network.
        device: where to compute.
        precision: `fp32` or `bf16`.
        freeze: whether the network is frozen.
    """

    def __init__(
        self, backbone: str, device: torch.device, precision: str, *, freeze: bool
    ) -> None:
        torch.manual_seed(0)
        from transformers import BertConfig

        config = BertConfig(hidden_size=WIDTH, num_hidden_layers=1, intermediate_size=WIDTH)
        self.model = GaLR(
            backbone=backbone, input_size=INPUT, views=1, global_feature="pooled", max_regions=0,
            node_dim=0, vocab_size=2, embed_dim=512, head="mlp", head_dim=1024, head_dropout=0.3,
            text_encoder="transformer", text_config=config.to_dict(), word_dim=1, gru_hidden=1,
            text_dropout=0.0, heads=8, ffn_dim=8, dropout=0.0, fusion="midf", branches="global",
            freeze=["image", "text"] if freeze else ["text"],
        )  # fmt: skip
        self.train_step = TrainStep(
            self.model,
            build_loss("infonce", 0.2, 0.07, soft_targets=True),
            launch_fabric(device, 1, precision),
            learning_rate=1e-3,
            schedule=Schedule(
                epochs=100,
                steps_per_epoch=100,
                name="cosine",
                warmup=0.1,
                lr_decay=1,
                lr_decay_every=1,
            ),
            grad_clip_norm=None,
            compiled=False,
            optimizer="adamw",
            weight_decay=0.05,
            average=0.99,
        )
        self.train_step.start_epoch()

    def step(
        self, images: torch.Tensor | tuple[torch.Tensor, ...], sentences: torch.Tensor
    ) -> None:
        """One step on some images and the features of their sentences, (I, SENTENCES, WIDTH)."""
        count = len(sentences)
        owner = torch.arange(count, device=sentences.device).repeat_interleave(SENTENCES)
        positive = owner[:, None] == owner
        self.train_step.step(
            Batch(images, empty_graphs(count), sentences.flatten(0, 1), owner, positive)
        )


def measure(work: Callable[[], None], device: torch.device, repeats: int = 3) -> float:
    """The median seconds of some repeats, after one that is not counted."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


if __name__ == "__main__":
    main()
