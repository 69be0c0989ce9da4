"""Graphs of new images by the detector that found the regions of a run: here proposals, which have no weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from galr.__main__ import main
from galr.errors import ConfigError
from galr.io.formats import Dataset, Graphs
from galr.search.region_detector import load_region_detector

SHIPPED = Path("config/detectors/proposals.yaml")
CPU = torch.device("cpu")
DREA = [
    *("--min-score", "0.3", "--max-regions", "4", "--similarity", "cosine"),
    *("--similarity-threshold", "0.98", "--proximity", "gaussian", "--bandwidth", "0.2"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three images of rectangles, the last of one colour, and the graphs of their proposals."""
    folder = tmp_path_factory.mktemp("proposals")
    sizes, files = [(200, 100), (64, 64), (90, 120)], ["a.png", "b.png", "c.png"]
    random = np.random.default_rng(0)
    for number, (size, file) in enumerate(zip(sizes, files, strict=True)):
        image = Image.new("RGB", size, (80, 90, 70))
        pen = ImageDraw.Draw(image)
        for _ in range(0 if number == 2 else 6):
            left, top = (int(random.integers(0, side - 20)) for side in size)
            pen.rectangle(
                (left, top, left + 18, top + 12), fill=tuple(random.integers(0, 256, 3).tolist())
            )
        image.save(folder / file)
    with Dataset.create(folder / "dataset.h5", {"dataset": "small"}) as file:
        file.write(
            images=np.zeros((3, 4, 4, 3), np.uint8),
            sizes=np.array(sizes, np.int32),
            image_of_sentence=np.zeros(0, np.int32),
            names=["a", "b", "c"],
            files=files,
            splits=["test"] * 3,
            sentences=[],
        )
    dataset, regions, graphs = (
        str(folder / name) for name in ("dataset.h5", "regions.h5", "graphs.h5")
    )
    words = ["regions", "--dataset", dataset, "--folder", str(folder), "--output", regions]
    assert main([*words, "--detector", str(SHIPPED)]) == 0
    assert main(["graphs", "--regions", regions, "--output", graphs, *DREA]) == 0
    return Path(graphs), [Image.open(folder / file).convert("RGB") for file in files]


def test_new_images_get_the_graphs_that_the_workflow_would_make(made):
    path, images = made
    detector = load_region_detector(path, SHIPPED, None, CPU)
    found = detector.build_graphs(images)
    with Graphs.open(path) as file:
        mask = file.mask[:]
        assert mask[:2].any(axis=1).all() and not mask[2].any()
        for name, table in found._asdict().items():
            np.testing.assert_allclose(table.numpy(), getattr(file, name)[:], atol=1e-6)


def test_the_detector_must_be_the_same_and_has_no_weights(made, tmp_path):
    path, _ = made
    other = tmp_path / "proposals.yaml"
    other.write_text(SHIPPED.read_text().replace("sigma: 0.8", "sigma: 0.9"))
    with pytest.raises(ConfigError, match="is not the detector that found the regions"):
        load_region_detector(path, other, None, CPU)
    with pytest.raises(ConfigError, match=r"has no network, and weights\.pth was given"):
        load_region_detector(path, SHIPPED, Path("weights.pth"), CPU)
