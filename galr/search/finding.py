"""Regions of anybody's pictures, found and linked as in training: by the same detector and the same DREA."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from galr import provenance, store
from galr.errors import ConfigError, DataError
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs, build_kwargs
from galr.model.galr import GraphBatch
from galr.regions import network
from galr.regions.detect import detect, ragged
from galr.regions.detector import Detector, read_detector
from galr.regions.mmlab import BaseDetector

DETECTORS = Path("config/detectors")  # as the workflow has them
WEIGHTS = Path("resources/detectors")


@dataclass(frozen=True)
class Finder:
    """Finds the regions of pictures and makes their graphs.

    network: the detector, on the device where it is to run.
    detector: what its file says.
    choices: of DREA, by name, as graphs.h5 tells them.
    """

    network: BaseDetector
    detector: Detector
    choices: Mapping[str, Any]

    def graphs(self, pictures: Sequence[Image.Image]) -> GraphBatch:
        """Make the graphs of some RGB pictures, on the CPU."""
        openings = (partial(_same, picture) for picture in pictures)
        tables, _ = ragged(list(detect(self.network, openings, self.detector.detection)))
        sizes = np.array([picture.size for picture in pictures], np.int32)
        made = build_graphs(
            Detections(**tables, sizes=sizes),
            len(self.detector.classes),
            **build_kwargs(self.choices),
        )
        found = (made.representation, made.adjacency, made.mask)
        return GraphBatch(*(torch.from_numpy(table) for table in found))


def open_finder(
    graphs_file: Path, detector: Path | None, weights: Path | None, device: torch.device
) -> Finder:
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
    detector = detector or DETECTORS / f"{made['name']}.yaml"
    how = read_detector(detector)
    if how.identity() != made["config_sha256"]:
        raise ConfigError(
            f"{detector} is not the detector that found the regions of {graphs_file} (hash"
            f" {how.identity()[:12]}, expected {made['config_sha256'][:12]}); give it with --detector"
        )
    weights = weights or how.file or WEIGHTS / how.name / "checkpoint.pth"
    if not weights.is_file():
        raise DataError(f"{weights} is missing, the detector's weights; give them with --weights")
    if (sha256 := provenance.file_sha256(weights)) != made["checkpoint_sha256"]:
        raise DataError(
            f"{weights} are not the weights that found the regions of {graphs_file} (sha256"
            f" {sha256[:12]}, expected {made['checkpoint_sha256'][:12]}); give them with --weights"
        )
    return Finder(network.load(how, weights, device), how, said["settings"])


def _same(picture: Image.Image) -> Image.Image:
    """Open a picture that is open already."""
    return picture
