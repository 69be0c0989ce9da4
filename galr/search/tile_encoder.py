"""Images to embeddings as in training: resized, and with a graph of the regions that the same detector finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from galr.devices import resolve_device
from galr.errors import ConfigError
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs, build_kwargs
from galr.graphs.edges import EdgeConfig
from galr.io.formats import Graphs
from galr.io.images import open_image, read_whole
from galr.io.pixel_options import PixelOptions
from galr.io.pixel_values import ReadingSummary
from galr.model.galr import GaLR, GraphBatch
from galr.regions.detector import Detector, concatenate_ragged, find_regions, open_detector
from galr.regions.detector_spec import DetectorSpec
from galr.search.index import Index, check_same_run
from galr.similarity.runs import TrainedRun, open_trained_run
from galr.train.embed import embed_images_in_memory
from galr.train.graph_store import empty_graphs


@dataclass(frozen=True)
class RegionDetector:
    """Detects the regions of images and makes their graphs.

    Attributes:
        detector: a network on its device, or proposals.
        graph_options: DREA's options by name, as in the provenance of graphs.h5.
    """

    detector: Detector
    graph_options: Mapping[str, Any]

    @property
    def edges(self) -> EdgeConfig:
        """How DREA weighs edges."""
        return EdgeConfig.from_options(self.graph_options)

    def build_graphs(self, images: Sequence[Image.Image]) -> GraphBatch:
        """Graphs of B RGB images of any sizes, on the CPU."""
        tables, _ = concatenate_ragged(find_regions(self.detector, images))
        sizes = np.array([image.size for image in images], np.int32)
        graphs = build_graphs(
            Detections(**tables, sizes=sizes),
            len(self.detector.classes),
            **build_kwargs(self.graph_options),
        )
        arrays = (graphs.representation, graphs.adjacency, graphs.mask)
        return GraphBatch(*(torch.from_numpy(array) for array in arrays))


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


def load_region_detector(
    graphs: Path | None,
    detector: Path | None,
    weights: Path | None,
    device: torch.device,
    run: Path | None = None,
) -> RegionDetector | None:
    """Load the detector whose regions are in a run's graphs.

    Args:
        graphs: graphs.h5, whose provenance has the detector's hashes and DREA's options; None for a model
            without a local branch, which needs no detector.
        detector: the detector file; None means config/detectors/<name>.yaml of the run's workflow.
        weights: its weights; None means the file named in the detector file, or
            resources/detectors/<name>/checkpoint.pth, of the run's workflow.
        device: where it is to run.
        run: the run's folder as the user wrote it; `graphs` may lie elsewhere, behind a symbolic link.

    Raises:
        ConfigError: the regions are of no detector, or the detector file is missing or of another one.
        DataError: the weights are missing, damaged or others.
    """
    if graphs is None:
        return None
    from galr.search.workflow_files import find_detector, find_weights

    provenance = Graphs.read_provenance(graphs)
    expected = provenance.get("detector") or {}
    if "published" in provenance["settings"]:
        raise ConfigError(
            f"{graphs} holds the authors' published matrices, and how to make such matrices of other"
            " images is not known; index the dataset itself, or a run with graphs made by DREA"
        )
    if "config_sha256" not in expected:
        raise ConfigError(
            f"{graphs} was made of imported boxes ({expected.get('name', 'no detector')}), and there is no"
            " network to detect regions in other images; index the dataset itself, or a run with a detector"
        )
    files = [run or graphs, graphs]
    detector, spec = find_detector(files, detector, expected["name"], expected["config_sha256"])
    if isinstance(spec, DetectorSpec):
        weights = find_weights(files, weights, spec, detector, expected["checkpoint_sha256"])
    return RegionDetector(open_detector(spec, weights, str(device)), provenance["settings"])


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
