"""The image files of a run's dataset, found from any directory."""

from contextlib import suppress
from pathlib import Path

from galr.data.dataset_spec import read_dataset_spec
from galr.errors import GalrError
from galr.io.formats import Dataset
from galr.search.index import Index, TileRecord
from galr.search.query import tile_source
from galr.search.region_detector import workflow_roots

# Where a workflow has them, below its root.
DATASET_DIR = Path("config/datasets")
IMAGE_DIRS = "unpacked", "files"  # below resources/<dataset>


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
