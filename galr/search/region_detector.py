"""The detector whose regions are in a run's graphs: its files, found from any directory, and graphs of new images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from galr.errors import ConfigError, DataError, StoreError
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs, build_kwargs
from galr.graphs.edges import EdgeConfig
from galr.io.formats import Graphs
from galr.model.galr import GraphBatch
from galr.provenance import file_sha256
from galr.regions.detector import (
    Detector,
    ImageDetections,
    ImageLoader,
    concatenate_ragged,
    find_regions,
    open_detector,
)
from galr.regions.detector_spec import (
    DetectorSpec,
    ProposalSpec,
    parse_runnable_spec,
    read_runnable_spec,
)

# Where a workflow has them, below its root.
DETECTOR_DIR = Path("config/detectors")
WEIGHTS_DIR = Path("resources/detectors")
# Keys of an export's provenance: the text of the detector file; path, address and hash of its weights.
DETECTOR_FILE, DETECTOR_WEIGHTS = "detector_file", "detector_weights"


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

    def find(self, loaders: Iterable[ImageLoader]) -> list[ImageDetections]:
        """Find the regions of images that are opened one after another, so that few are in memory."""
        return list(self.detector.detect(loaders))

    def build_graphs(self, images: Sequence[Image.Image]) -> GraphBatch:
        """Graphs of B RGB images of any sizes, on the CPU."""
        return build_graph_batch(
            find_regions(self.detector, images),
            [image.size for image in images],
            len(self.detector.classes),
            self.graph_options,
        )


def build_graph_batch(
    found: Sequence[ImageDetections],
    sizes: Sequence[tuple[int, int]],
    num_classes: int,
    options: Mapping[str, Any],
) -> GraphBatch:
    """DREA's graphs of B images, on the CPU.

    Args:
        found: (B,) the regions of each image.
        sizes: (B,) width and height of each image in pixels.
        num_classes: of the regions.
        options: DREA's, by name, as in the provenance of graphs.h5.

    Raises:
        DataError: a region contradicts itself.
    """
    tables, _ = concatenate_ragged(found)
    graphs = build_graphs(
        Detections(**tables, sizes=np.array(sizes, np.int32).reshape(-1, 2)),
        num_classes,
        **build_kwargs(options),
    )
    arrays = (graphs.representation, graphs.adjacency, graphs.mask)
    return GraphBatch(*(torch.from_numpy(array) for array in arrays))


@dataclass(frozen=True)
class DetectorFiles:
    """Where the files of a run's detector are looked for.

    Attributes:
        run: files or folders of the run, around which its workflow is looked for; messages name the last.
        detector: the detector file; None means config/detectors/<name>.yaml of the run's workflow.
        weights: its weights; None means the file named in the detector file, or
            resources/detectors/<name>/checkpoint.pth, of the run's workflow.
        carried: the text of the detector file, where an export carries it; it is used if no file is given.
        ways: how to give a detector file and how to give weights, for messages.
    """

    run: Sequence[Path]
    detector: Path | None = None
    weights: Path | None = None
    carried: str | None = None
    ways: tuple[str, str] = ("--detector", "--weights")


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
        detector: the detector file, see `DetectorFiles`.
        weights: its weights, likewise.
        device: where it is to run.
        run: the run's folder as the user wrote it; `graphs` may lie elsewhere, behind a symbolic link.

    Raises:
        ConfigError: the regions are of no detector, or the detector file is missing or of another one.
        DataError: the weights are missing, damaged or others.
    """
    if graphs is None:
        return None
    provenance = Graphs.read_provenance(graphs)
    if reason := explain_no_detector(provenance):
        raise ConfigError(f"{graphs} {reason}; index the dataset itself, or a run with a detector")
    files = DetectorFiles([run or graphs, graphs], detector, weights)
    return open_region_detector(provenance, files, device)


def explain_no_detector(provenance: Mapping[str, Any]) -> str | None:
    """Say why the regions of other images cannot be found as those of a run's graphs were; None if they can.

    Args:
        provenance: of graphs.h5, with its keys `settings` and `detector`.

    Returns:
        The predicate of a sentence whose subject is the graphs.
    """
    expected = provenance.get("detector") or {}
    if "published" in provenance["settings"]:
        return "holds the authors' published matrices, and how to make such matrices of other images is not known"
    if "config_sha256" not in expected:
        return (
            f"was made of imported boxes ({expected.get('name', 'no detector')}), and there is no network to"
            " detect regions in other images"
        )
    return None


def open_region_detector(
    provenance: Mapping[str, Any], files: DetectorFiles, device: torch.device
) -> RegionDetector:
    """Find the files of a detector, check their hashes, and open it.

    Args:
        provenance: of the graphs; `explain_no_detector` says nothing against it.
        files: where the files are looked for.
        device: where it is to run.

    Raises:
        ConfigError: the detector file is missing or of another detector.
        DataError: the weights are missing, damaged or others.
        StoreError: the detector file that an export carries is another one.
    """
    expected = provenance["detector"]
    name, config_sha256 = expected["name"], expected["config_sha256"]
    if files.detector is None and files.carried is not None:
        spec = parse_runnable_spec(files.carried, name)
        if spec.config_hash() != config_sha256:
            raise StoreError(
                f"{files.run[-1]} carries another detector than its provenance names; write it again with galr export"
            )
        path = None
    else:
        path, spec = find_detector(files, name, config_sha256)
    weights = files.weights
    if isinstance(spec, DetectorSpec):
        weights = find_weights(files, spec, path, expected["checkpoint_sha256"])
    return RegionDetector(open_detector(spec, weights, str(device)), provenance["settings"])


def carry_detector(provenance: Mapping[str, Any], files: DetectorFiles) -> dict[str, Any]:
    """What an export carries of a detector, for its provenance: the text of its file, and the name of its weights.

    Args:
        provenance: of the graphs; `explain_no_detector` says nothing against it.
        files: where the detector file is looked for.

    Raises:
        ConfigError: the detector file is missing or of another detector.
    """
    expected = provenance["detector"]
    path, spec = find_detector(files, expected["name"], expected["config_sha256"])
    carried: dict[str, Any] = {DETECTOR_FILE: path.read_text(encoding="utf-8")}
    if isinstance(spec, DetectorSpec):
        carried[DETECTOR_WEIGHTS] = {
            "path": str(weights_below_root(spec)),
            "url": spec.url,
            "sha256": expected["checkpoint_sha256"],
        }
    return carried


def workflow_roots(*paths: Path) -> list[Path]:
    """The folders that may be the root of the workflow of some files: those around them, then the current folder.

    Results may lie behind a symbolic link, on another disk, so a path is followed as it is written, too.
    """
    around = [
        root for path in paths for p in (path.absolute(), path.resolve()) for root in p.parents
    ]
    workflows = [root for root in around if (root / "config").is_dir()]
    return list(dict.fromkeys([*workflows, Path.cwd()]))


def find_detector(
    files: DetectorFiles, name: str, config_sha256: str
) -> tuple[Path, DetectorSpec | ProposalSpec]:
    """Find the detector file that the regions of a run were detected with.

    Args:
        files: where it is looked for.
        name: of the detector.
        config_sha256: hash of all that determines its regions.

    Returns:
        The file and its content.

    Raises:
        ConfigError: the file is missing, or no file is of this detector.
    """
    way, weights_way = files.ways
    roots = workflow_roots(*files.run)
    paths = [root / DETECTOR_DIR / f"{name}.yaml" for root in roots]
    if files.detector is not None:
        paths = [files.detector]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise ConfigError(
            f"the detector file {_missing(paths)}; the run's regions were detected with '{name}': give its"
            f" detector file with {way}, and its weights with {weights_way}"
        )
    specs = [(path, read_runnable_spec(path)) for path in found]
    for path, spec in specs:
        if spec.config_hash() == config_sha256:
            return path, spec
    path, spec = specs[0]
    raise ConfigError(
        f"{path} is not the detector that found the regions of {files.run[-1]} (hash {spec.config_hash()[:12]},"
        f" expected {config_sha256[:12]}); give it with {way}"
    )


def find_weights(
    files: DetectorFiles, spec: DetectorSpec, spec_path: Path | None, sha256: str
) -> Path:
    """Find the weights that the regions of a run were detected with.

    Args:
        files: where they are looked for; first in the workflow of the detector file.
        spec: the detector.
        spec_path: its file; None if an export carries it.
        sha256: of the weights.

    Raises:
        DataError: they are missing, or others.
    """
    way = files.ways[1]
    near = ([] if spec_path is None else [spec_path], files.run)
    roots = dict.fromkeys(root for some in near if some for root in workflow_roots(*some))
    paths = [root / weights_below_root(spec) for root in roots]
    if files.weights is not None:
        paths = [files.weights]
    found = [path for path in dict.fromkeys(paths) if path.is_file()]
    if not found:
        source = f", or download them from {spec.url}" if spec.url else ""
        raise DataError(
            f"{_missing(paths)}, the detector's weights (sha256 {sha256[:12]}…); give them with {way}{source}"
        )
    hashes = []
    for path in found:
        hashes.append(file_sha256(path))
        if hashes[-1] == sha256:
            return path
    raise DataError(
        f"{found[0]} are not the weights that found the regions of {files.run[-1]} (sha256 {hashes[0][:12]},"
        f" expected {sha256[:12]}); give them with {way}"
    )


def weights_below_root(spec: DetectorSpec) -> Path:
    """The file of a detector's weights, from the root of its workflow."""
    return spec.file or WEIGHTS_DIR / spec.name / "checkpoint.pth"


def _missing(paths: list[Path]) -> str:
    """Say that none of some paths exists."""
    first, *others = dict.fromkeys(map(str, paths))
    return f"{first} is missing" + (f" (looked also for {', '.join(others)})" if others else "")
