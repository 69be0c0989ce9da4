"""A picture as a query: the whole model and, where it has a local branch, the detector."""

from pathlib import Path

import numpy as np

from galr.devices import resolve_device
from galr.errors import ConfigError
from galr.search.index import Index
from galr.search.looking import Looker
from galr.search.pictures import opened
from galr.search.places import Window
from galr.search.runs import refuse_other
from galr.similarity.runs import open_trained_run


def embed_picture(
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
    known = index.about["model"]
    refuse_other(made_by, known["checkpoint_sha256"], known["name"], index.folder)
    finder = None
    if made_by.graphs is not None:
        from galr.search.finding import open_finder  # loads mmdet

        finder = open_finder(made_by.graphs, detector, weights, where)
    model = made_by.checkpoint.build_model().to(where)
    crop = made_by.checkpoint.architecture["crop"]
    looker = Looker(model, finder, made_by.image_size, crop, where)
    with opened(image) as picture:
        return looker.embed([picture.read(Window(0, 0, *picture.size))])[0]
