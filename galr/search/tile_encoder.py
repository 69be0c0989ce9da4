"""Images to embeddings as in training: resized, and with a graph of the regions that the same detector finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from galr.devices import resolve_device
from galr.errors import ConfigError, DataError
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs, build_kwargs
from galr.io.formats import Graphs
from galr.model.galr import GaLR, GraphBatch
from galr.provenance import file_sha256
from galr.search.index import Index, check_same_run
from galr.search.rasters import full_window, open_image
from galr.similarity.runs import TrainedRun, open_trained_run
from galr.train.embed import embed_images_in_memory
from galr.train.graph_store import empty_graphs

if TYPE_CHECKING:  # it loads mmdet, which a model without a local branch does not need
    from galr.regions.detector_spec import DetectorSpec
    from galr.regions.mmdet_imports import BaseDetector

DETECTOR_DIR = Path("config/detectors")  # where the workflow has them
WEIGHTS_DIR = Path("resources/detectors")


@dataclass(frozen=True)
class RegionDetector:
    """Detects the regions of images and makes their graphs.

    Attributes:
        network: the detector, on its device.
        spec: the content of its file.
        graph_options: DREA's options by name, as in the provenance of graphs.h5.
    """

    network: "BaseDetector"
    spec: "DetectorSpec"
    graph_options: Mapping[str, Any]

    def build_graphs(self, images: Sequence[Image.Image]) -> GraphBatch:
        """Graphs of B RGB images of any sizes, on the CPU."""
        from galr.regions.detect import concatenate_ragged, detect

        loaders = (partial(_identity, image) for image in images)
        tables, _ = concatenate_ragged(list(detect(self.network, loaders, self.spec.inference)))
        sizes = np.array([image.size for image in images], np.int32)
        graphs = build_graphs(
            Detections(**tables, sizes=sizes),
            len(self.spec.classes),
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
            self.model, resized, graphs, input_size=self.input_size, device=self.device
        )


def load_region_detector(
    graphs: Path | None, detector: Path | None, weights: Path | None, device: torch.device
) -> RegionDetector | None:
    """Load the detector whose regions are in a run's graphs.

    Args:
        graphs: graphs.h5, whose provenance has the detector's hashes and DREA's options; None for a model
            without a local branch, which needs no detector.
        detector: the detector file; None means config/detectors/<name>.yaml.
        weights: its weights; None means the file named in the detector file, or
            resources/detectors/<name>/checkpoint.pth.
        device: where it is to run.

    Raises:
        ConfigError: the regions are of no detector, or the file is of another one.
        DataError: the weights are missing, damaged or others.
    """
    if graphs is None:
        return None
    from galr.regions.detector_spec import read_network_spec
    from galr.regions.network import load_network

    provenance = Graphs.read_provenance(graphs)
    expected = provenance.get("detector") or {}
    if "published" in provenance["settings"]:
        raise ConfigError(
            f"{graphs} holds the authors' published matrices, and how to make such matrices of other"
            " images is not known; index the dataset itself, or a run with graphs made by DREA"
        )
    if "config_sha256" not in expected or "checkpoint_sha256" not in expected:
        raise ConfigError(
            f"{graphs} was made of imported boxes ({expected.get('name', 'no detector')}), and there is no"
            " network to detect regions in other images; index the dataset itself, or a run with a detector"
        )
    detector = detector or DETECTOR_DIR / f"{expected['name']}.yaml"
    spec = read_network_spec(detector)
    if spec.config_hash() != expected["config_sha256"]:
        raise ConfigError(
            f"{detector} is not the detector that found the regions of {graphs} (hash"
            f" {spec.config_hash()[:12]}, expected {expected['config_sha256'][:12]}); give it with --detector"
        )
    weights = weights or spec.file or WEIGHTS_DIR / spec.name / "checkpoint.pth"
    if not weights.is_file():
        raise DataError(f"{weights} is missing, the detector's weights; give them with --weights")
    if (sha256 := file_sha256(weights)) != expected["checkpoint_sha256"]:
        raise DataError(
            f"{weights} are not the weights that found the regions of {graphs} (sha256"
            f" {sha256[:12]}, expected {expected['checkpoint_sha256'][:12]}); give them with --weights"
        )
    return RegionDetector(load_network(spec, weights, device), spec, provenance["settings"])


def embed_query_image(
    image: Path,
    index: Index,
    run: Path,
    detector: Path | None,
    weights: Path | None,
    device: str,
) -> np.ndarray:
    """Embed an image, untiled, with the model that made an index.

    Args:
        image: of any size.
        index: to be queried.
        run: the run that made it.
        detector: as in `load_region_detector`.
        weights: as in `load_region_detector`.
        device: auto, cpu, cuda or cuda:N.

    Returns:
        (embed_dim,) float32 of length 1.

    Raises:
        ConfigError: the run is missing, or the run or the detector is another one.
        DataError: the image cannot be decoded, or a file is missing or another one.
    """
    if not run.is_dir():
        raise ConfigError(
            f"there is no run at {run}; to query with an image, give the run that made {index.folder}"
            " with --run"
        )
    trained_run = open_trained_run(run)
    check_same_run(trained_run, index.manifest, index.folder)
    resolved = resolve_device(device)
    region_detector = load_region_detector(trained_run.graphs, detector, weights, resolved)
    model = trained_run.checkpoint.build_model().to(resolved)
    encoder = TileEncoder.from_run(trained_run, model, region_detector, resolved)
    with open_image(image) as opened:
        return encoder.embed([opened.read(full_window(opened))])[0]


def _identity(image: Image.Image) -> Image.Image:
    """Load an image that is in memory already."""
    return image
