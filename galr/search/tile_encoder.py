"""Pictures as a trained model sees them: resized, and with the graphs of their regions.

Regions of anybody's pictures, found and linked as in training: by the same detector and the same DREA.

A picture as a query: the whole model and, where it has a local branch, the detector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from galr import store
from galr.devices import resolve_device
from galr.errors import ConfigError, DataError
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs, build_kwargs
from galr.model.galr import GaLR, GraphBatch
from galr.provenance import file_sha256
from galr.regions import network
from galr.regions.detect import concatenate_ragged, detect
from galr.regions.detector_spec import DetectorSpec, read_network_spec
from galr.regions.mmdet_imports import BaseDetector
from galr.search.index import Index, check_same_run
from galr.search.rasters import Window, open_image
from galr.similarity.runs import open_trained_run
from galr.train.embed import embed_images_in_memory
from galr.train.graph_store import empty_graphs

if TYPE_CHECKING:  # it loads mmdet, and a model without a local branch finds no regions
    pass


@dataclass(frozen=True)
class TileEncoder:
    """Turns pictures into embeddings.

    model: in evaluation mode, on `device`.
    finder: of regions; None for a model without a local branch.
    size: side in pixels that the dataset's pictures were stored at.
    crop: side in pixels that the model sees.
    device: where to compute.
    """

    model: GaLR
    region_detector: "RegionDetector | None"
    stored_size: int
    input_size: int
    device: torch.device

    def embed(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Encode some RGB pictures of any sizes at once, each resized as a dataset's are.

        Returns:
            (pictures, embedding) float32, unit rows.
        """
        square = (self.stored_size, self.stored_size)
        stored = [np.asarray(each.resize(square, Image.Resampling.BILINEAR)) for each in images]
        graph = (
            empty_graphs(len(images))
            if self.region_detector is None
            else self.region_detector.build_graphs(images)
        )
        return embed_images_in_memory(
            self.model, stored, graph, input_size=self.input_size, device=self.device
        )


DETECTOR_DIR = Path("config/detectors")  # as the workflow has them
WEIGHTS_DIR = Path("resources/detectors")


@dataclass(frozen=True)
class RegionDetector:
    """Finds the regions of pictures and makes their graphs.

    network: the detector, on the device where it is to run.
    detector: what its file says.
    choices: of DREA, by name, as graphs.h5 tells them.
    """

    network: BaseDetector
    spec: DetectorSpec
    graph_options: Mapping[str, Any]

    def build_graphs(self, images: Sequence[Image.Image]) -> GraphBatch:
        """Make the graphs of some RGB pictures, on the CPU."""
        openings = (partial(_same, picture) for picture in images)
        tables, _ = concatenate_ragged(list(detect(self.network, openings, self.spec.inference)))
        sizes = np.array([picture.size for picture in images], np.int32)
        made = build_graphs(
            Detections(**tables, sizes=sizes),
            len(self.spec.classes),
            **build_kwargs(self.graph_options),
        )
        found = (made.representation, made.adjacency, made.mask)
        return GraphBatch(*(torch.from_numpy(table) for table in found))


def load_region_detector(
    graphs_file: Path, detector: Path | None, weights: Path | None, device: torch.device
) -> RegionDetector:
    """Load the detector that found the regions of a run's graphs.

    Args:
        graphs_file: graphs.h5, which tells the detector's hashes and DREA's choices.
        detector: the detector file; None means config/detectors/<name>.yaml.
        weights: its weights; None means what its file names, or resources/detectors/<name>/checkpoint.pth.
        device: where it is to run.

    Raises:
        ConfigError: no detector made these graphs, or the file is of another one.
        DataError: the weights are others, missing or damaged.
    """
    with store.reading(graphs_file, store.GRAPHS) as file:
        said = store.provenance(file)
    made = said.get("detector") or {}
    if "published" in said["settings"]:
        raise ConfigError(
            f"{graphs_file} holds the authors' published matrices, and nothing is known that makes such"
            " matrices of other pictures; index the dataset itself, or a run whose graphs DREA made"
        )
    if "config_sha256" not in made or "checkpoint_sha256" not in made:
        raise ConfigError(
            f"{graphs_file} was made of ready boxes ({made.get('name', 'no detector')}), and there is no"
            " network to find regions in other pictures; index the dataset itself, or a run with a detector"
        )
    detector = detector or DETECTOR_DIR / f"{made['name']}.yaml"
    how = read_network_spec(detector)
    if how.config_hash() != made["config_sha256"]:
        raise ConfigError(
            f"{detector} is not the detector that found the regions of {graphs_file} (hash"
            f" {how.config_hash()[:12]}, expected {made['config_sha256'][:12]}); give it with --detector"
        )
    weights = weights or how.file or WEIGHTS_DIR / how.name / "checkpoint.pth"
    if not weights.is_file():
        raise DataError(f"{weights} is missing, the detector's weights; give them with --weights")
    if (sha256 := file_sha256(weights)) != made["checkpoint_sha256"]:
        raise DataError(
            f"{weights} are not the weights that found the regions of {graphs_file} (sha256"
            f" {sha256[:12]}, expected {made['checkpoint_sha256'][:12]}); give them with --weights"
        )
    return RegionDetector(network.load_network(how, weights, device), how, said["settings"])


def _same(picture: Image.Image) -> Image.Image:
    """Open a picture that is open already."""
    return picture


def embed_query_image(
    image: Path,
    index: Index,
    run: Path,
    detector: Path | None,
    weights: Path | None,
    device: str,
) -> np.ndarray:
    """Embed a picture, whole, with the model that made an index.

    Args:
        image: the picture, of any size.
        index: what will be asked.
        run: the run that made it.
        detector: the detector file, if it does not lie where the workflow has it.
        weights: the detector's weights, likewise.
        device: where to compute.

    Returns:
        (embedding,) float32, of length 1.

    Raises:
        ConfigError: no run, another one, or another detector.
        DataError: the picture cannot be decoded, or a file is missing or another.
    """
    where = resolve_device(device)
    if not run.is_dir():
        raise ConfigError(
            f"there is no run at {run}; a picture needs the one that made {index.folder}: --run says where"
        )
    made_by = open_trained_run(run)
    known = index.manifest["model"]
    check_same_run(made_by, known["checkpoint_sha256"], known["name"], index.folder)
    finder = None
    if made_by.graphs is not None:
        pass

        finder = load_region_detector(made_by.graphs, detector, weights, where)
    model = made_by.checkpoint.build_model().to(where)
    crop = made_by.checkpoint.architecture["crop"]
    looker = TileEncoder(model, finder, made_by.image_size, crop, where)
    with open_image(image) as picture:
        return looker.embed([picture.read(Window(0, 0, *picture.size))])[0]
