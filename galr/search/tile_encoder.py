"""Images to embeddings as in training: resized, and with a graph of the regions that the same detector finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from galr.devices import resolve_device
from galr.io.images import open_image, read_whole
from galr.io.pixel_options import PixelOptions
from galr.io.pixel_values import ReadingSummary
from galr.model.galr import GaLR
from galr.search.index import Index, check_same_run
from galr.search.region_detector import RegionDetector, load_region_detector
from galr.similarity.runs import TrainedRun, open_trained_run
from galr.train.embed import embed_images_in_memory
from galr.train.graph_store import empty_graphs


@dataclass(frozen=True)
class TileEncoder:
    """Embeds images.

    Attributes:
        model: in evaluation mode, on `device`.
        region_detector: None for a model without a local branch, or where the graphs are given.
        stored_size: side in pixels of the dataset's stored images.
        input_size: side in pixels of the model's input.
        device: where to compute.
    """

    model: GaLR
    region_detector: RegionDetector | None
    stored_size: int
    input_size: int
    device: torch.device

    @classmethod
    def from_run(
        cls,
        run: TrainedRun,
        model: GaLR,
        region_detector: RegionDetector | None,
        device: torch.device,
    ) -> "TileEncoder":
        """Embed as a run was trained to; `model` is the run's, on `device`."""
        input_size = run.checkpoint.architecture["input_size"]
        return cls(model, region_detector, run.image_size, input_size, device)

    def embed(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Embed B RGB images of any sizes in one batch, each resized as the dataset's images were.

        Returns:
            (B, embed_dim) float32, unit rows.
        """
        square = (self.stored_size, self.stored_size)
        resized = [np.asarray(image.resize(square, Image.Resampling.BILINEAR)) for image in images]
        if self.region_detector is None:
            graphs = empty_graphs(len(images))
        else:
            graphs = self.region_detector.build_graphs(images)
        return embed_images_in_memory(
            self.model,
            resized,
            graphs,
            edges=None if self.region_detector is None else self.region_detector.edges,
            input_size=self.input_size,
            device=self.device,
        )


def embed_query_image(
    image: Path,
    index: Index,
    run: Path,
    detector: Path | None,
    weights: Path | None,
    device: str,
    pixels: PixelOptions,
    readings: ReadingSummary,
) -> np.ndarray:
    """Embed an image, untiled, with the model that made an index.

    Args:
        image: of any size.
        index: to be queried.
        run: the run that made it.
        detector: as in `load_region_detector`.
        weights: as in `load_region_detector`.
        device: auto, cpu, cuda or cuda:N.
        pixels: the image's bands and range.
        readings: counts what the image is read as.

    Returns:
        (embed_dim,) float32 of length 1.

    Raises:
        ConfigError: the run or the detector is another one.
        DataError: the image cannot be decoded, or a file is missing or another one.
    """
    with open_image(image, pixels) as opened:  # first, since loading the model takes long
        rgb = read_whole(opened, image)
    readings.add(opened.reading)
    readings.look_at(image.name, np.asarray(rgb))
    trained_run = open_trained_run(run)
    check_same_run(trained_run, index.manifest, index.folder)
    resolved = resolve_device(device)
    region_detector = load_region_detector(trained_run.graphs, detector, weights, resolved, run)
    model = trained_run.checkpoint.build_model().to(resolved)
    encoder = TileEncoder.from_run(trained_run, model, region_detector, resolved)
    return encoder.embed([rgb])[0]
