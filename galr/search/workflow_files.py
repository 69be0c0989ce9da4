"""Files of the workflow that a run belongs to, found from any directory: its detector, and its dataset's images."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from galr.data.dataset_spec import read_dataset_spec
from galr.errors import ConfigError, DataError, GalrError
from galr.io.formats import Dataset
from galr.provenance import file_sha256
from galr.regions.detector_spec import DetectorSpec, ProposalSpec, read_runnable_spec
from galr.search.index import Index, TileRecord
from galr.search.query import tile_source

# Where a workflow has them, below its root.
DETECTOR_DIR = Path("config/detectors")
WEIGHTS_DIR = Path("resources/detectors")
DATASET_DIR = Path("config/datasets")
IMAGE_DIRS = "unpacked", "files"  # below resources/<dataset>


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
    run: Sequence[Path], detector: Path | None, name: str, config_sha256: str
) -> tuple[Path, DetectorSpec | ProposalSpec]:
    """Find the detector file that the regions of a run were detected with.

    Args:
        run: the run's folder and its graphs.h5.
        detector: the file; None means config/detectors/<name>.yaml of the run's workflow, or of the current folder.
        name: of the detector.
        config_sha256: hash of all that determines its regions.

    Returns:
        The file and its content.

    Raises:
        ConfigError: the file is missing, or no file is of this detector.
    """
    roots = workflow_roots(*run)
    paths = [detector] if detector else [root / DETECTOR_DIR / f"{name}.yaml" for root in roots]
    found = [path for path in paths if path.is_file()]
    if not found:
        raise ConfigError(
            f"the detector file {_missing(paths)}; the run's regions were detected with '{name}': give its"
            " detector file with --detector, and its weights with --weights"
        )
    specs = [(path, read_runnable_spec(path)) for path in found]
    for path, spec in specs:
        if spec.config_hash() == config_sha256:
            return path, spec
    path, spec = specs[0]
    raise ConfigError(
        f"{path} is not the detector that found the regions of {run[-1]} (hash {spec.config_hash()[:12]},"
        f" expected {config_sha256[:12]}); give it with --detector"
    )


def find_weights(
    run: Sequence[Path], weights: Path | None, spec: DetectorSpec, spec_path: Path, sha256: str
) -> Path:
    """Find the weights that the regions of a run were detected with.

    Args:
        run: the run's folder and its graphs.h5.
        weights: the file; None means the one that the detector file names, or
            resources/detectors/<name>/checkpoint.pth, of the workflow of the detector file or of the run.
        spec: the detector.
        spec_path: its file.
        sha256: of the weights.

    Raises:
        DataError: they are missing, or others.
    """
    below_root = spec.file or WEIGHTS_DIR / spec.name / "checkpoint.pth"
    roots = dict.fromkeys([*workflow_roots(spec_path), *workflow_roots(*run)])
    paths = [weights] if weights else [root / below_root for root in roots]
    found = [path for path in dict.fromkeys(paths) if path.is_file()]
    if not found:
        raise DataError(f"{_missing(paths)}, the detector's weights; give them with --weights")
    hashes = []
    for path in found:
        hashes.append(file_sha256(path))
        if hashes[-1] == sha256:
            return path
    raise DataError(
        f"{found[0]} are not the weights that found the regions of {run[-1]} (sha256 {hashes[0][:12]}, expected"
        f" {sha256[:12]}); give them with --weights"
    )


def _missing(paths: list[Path]) -> str:
    """Say that none of some paths exists."""
    first, *others = dict.fromkeys(map(str, paths))
    return f"{first} is missing" + (f" (looked also for {', '.join(others)})" if others else "")


class ImageFiles:
    """Finds the image files of tiles, as absolute paths."""

    def __init__(self, index: Index) -> None:
        """Find files of the sources of an index."""
        self._index = index
        self._folders: dict[Path, list[Path]] = {}  # of each dataset
        self._files: dict[Path, dict[str, str]] = {}  # of each dataset, by the name of the image

    def path_of(self, tile: TileRecord) -> Path | None:
        """The file of a tile's image; None if only its dataset knows the image, and its file is not there (any more)."""
        kind, source = tile_source(self._index, tile)
        source = source.absolute()
        if kind == "folder":
            return source / tile.name
        if source not in self._files:
            with Dataset.open(source) as dataset:
                self._files[source] = dict(zip(dataset.names, dataset.files, strict=True))
            self._folders[source] = _image_folders(source)
        file = self._files[source].get(tile.name)
        paths = [folder / file for folder in self._folders[source]] if file else []
        return next((path for path in paths if path.is_file()), None)


def _image_folders(dataset: Path) -> list[Path]:
    """The folders that may hold the images of a dataset.h5, those of its own workflow first."""
    name = str(Dataset.read_provenance(dataset).get("dataset", dataset.parent.name))
    folders = []
    for root in workflow_roots(dataset):
        folders += [root / "resources" / name / below for below in IMAGE_DIRS]
        # Without a spec, or with one of another version, the images may be found all the same.
        with suppress(GalrError):
            own = read_dataset_spec(root / DATASET_DIR / f"{name}.yaml").folder
            folders += [root / own] if own else []
    return folders
