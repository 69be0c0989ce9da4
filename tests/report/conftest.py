"""A small folder of results, drawn from a seed and written as the other commands write it."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galr.__main__ import main
from galr.evaluate import table
from galr.evaluate.differences import DIFFERENCE_COLUMNS, build_differences
from galr.evaluate.ranks import compute_ranks
from galr.io.csv_io import write_rows
from galr.io.formats import Dataset, Graphs, Regions, Similarity

ODD_SENTENCE = 'boats < "quais" & <script>alert(1)</script> — été 港'
NUM_IMAGES, NUM_TEST, PER_IMAGE, SIZE = (
    14,
    10,
    3,
    24,
)  # of them in the test split, sentences each, pixels
CLASSES = ("ship", "<b>dock</b>")
MAX_REGIONS = 3  # in a graph
GRAPH_FLAGS = {  # by variant; the others have no graphs
    "corrected": (),
    "still": (),
    "iou": ("--similarity", "iou", "--similarity-threshold", "0.5"),
    "no_drea": ("--similarity", "none", "--proximity", "uniform", "--no-salience"),
}
CORRECTED_IS_CHOSEN = {("corrected", "none"): 40}


@dataclass(frozen=True)
class Results:
    """A folder of results, and the similarity matrix of each of its runs."""

    folder: Path
    similarity: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)

    def report(self, *flags: str, **replacements: Path) -> int:
        """Run the command on these results; returns its exit code."""
        runs = sorted(self.folder.glob("*/fold*"))
        paths = {name: self.folder / f"{name}.h5" for name in ("dataset", "regions")} | {
            "metrics": self.folder / "metrics.csv",
            "differences": self.folder / "differences.csv",
            "data-report": self.folder / "data_report.csv",
            "output": self.folder / "report.html",
        }
        paths |= replacements
        argv = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
        graphs = sorted(self.folder.glob("*/graphs.h5"))
        argv += ["--graphs", *map(str, graphs)] if graphs else []
        argv += ["--histories", *(str(run / "history.csv") for run in runs)]
        argv += ["--similarities", *(str(run / "similarity.h5") for run in runs)]
        return main(["report", *argv, *flags])

    def page(self, *flags: str) -> str:
        """Write the report and return its HTML."""
        assert self.report(*flags) == 0
        return (self.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def draw(tmp_path):
    """Draw results: `draw(dataset=…, variants=…, folds=…, regions=…, validation_mr=…)`.

    `validation_mr` holds the mR on validation images by variant and rerank; None is not known.
    """

    def draw_results(
        dataset="ucm",
        variants=("corrected", "global"),
        folds=2,
        regions=True,
        validation_mr=CORRECTED_IS_CHOSEN,
    ):
        results = Results(tmp_path / dataset)
        random = np.random.default_rng(7)
        _write_data(results.folder, dataset, random)
        _write_regions(results.folder, dataset, random, mean=6 if regions else 0)
        for variant in variants:
            _write_graphs(results.folder, variant)
        runs = [
            _write_run(results, dataset, variant, fold, random, 1 + index, validation_mr)
            for index, variant in enumerate(variants)
            for fold in range(folds)
        ]
        rows = table.build_table(runs, resamples=50, confidence=0.95)
        pd.DataFrame(rows).to_csv(results.folder / "metrics.csv", index=False)
        pairs = build_differences(runs, resamples=50, confidence=0.95)
        write_rows(results.folder / "differences.csv", pairs, DIFFERENCE_COLUMNS)
        return results

    return draw_results


def _names():
    return [f"scene {i}" for i in range(NUM_IMAGES)]


def _sentences():
    """Sentences of all images; the second image repeats one of the first, the third has odd characters."""
    sentences = [
        f"sentence {i % PER_IMAGE} of image {i // PER_IMAGE}" for i in range(NUM_IMAGES * PER_IMAGE)
    ]
    sentences[PER_IMAGE], sentences[2 * PER_IMAGE] = sentences[0], ODD_SENTENCE
    return sentences


def _write_data(folder, dataset, random):
    folder.mkdir(parents=True)
    provenance = {"dataset": dataset, "archives": [{"file": f"{dataset}.zip", "sha256": "ab" * 32}]}
    with Dataset.create(folder / "dataset.h5", provenance) as file:
        file.write(
            images=random.integers(0, 256, (NUM_IMAGES, SIZE, SIZE, 3), dtype=np.uint8),
            sizes=np.tile(np.array([[60, 40]], np.int32), (NUM_IMAGES, 1)),
            image_of_sentence=np.repeat(np.arange(NUM_IMAGES, dtype=np.int32), PER_IMAGE),
            names=_names(),
            files=[f"{name}.jpg" for name in _names()],
            splits=["test"] * NUM_TEST + ["train"] * (NUM_IMAGES - NUM_TEST),
            sentences=_sentences(),
        )
    (folder / "data_report.csv").write_text(
        "item,kind,reason\n9,blank_sentence,holds no word: '<i>'\n8,missing_image,not there\n"
        "7,blank_sentence,holds no word: ''\n"
    )


def _write_regions(folder, dataset, random, mean):
    counts = random.poisson(mean, NUM_IMAGES)
    total = counts.sum()
    corners = random.uniform(0, 8, (total, 2))  # so near that some are similar
    provenance = {"dataset": dataset, "detector": "drawn"}
    with Regions.create(folder / "regions.h5", provenance) as file:
        file.write(
            sizes=np.tile(np.array([[60, 40]], np.int32), (NUM_IMAGES, 1)),
            offsets=np.concatenate([[0], counts.cumsum()]),
            boxes=np.hstack([corners, corners + random.uniform(9, 30, (total, 2))]).astype("f4"),
            scores=random.uniform(0, 1, total).astype("f4"),
            classes=random.integers(0, len(CLASSES), total).astype("i4"),
            names=_names(),
            class_names=CLASSES,
        )


def _write_graphs(folder, variant):
    """Write the graphs of a variant, if it has any; those of `published` are imported."""
    path = folder / variant / "graphs.h5"
    if variant in GRAPH_FLAGS:
        argv = [
            "graphs",
            "--regions",
            str(folder / "regions.h5"),
            "--max-regions",
            str(MAX_REGIONS),
        ]
        assert main([*argv, *GRAPH_FLAGS[variant], "--output", str(path)]) == 0
    elif variant == "published":
        random = np.random.default_rng(3)
        with Graphs.create(path, {"settings": {"published": "UCM"}}) as file:
            file.write(
                representation=random.random((NUM_IMAGES, MAX_REGIONS, 7), np.float32),
                adjacency=random.random((NUM_IMAGES, MAX_REGIONS, MAX_REGIONS), np.float32),
                mask=random.integers(0, MAX_REGIONS + 1, NUM_IMAGES)[:, None]
                > np.arange(MAX_REGIONS),
                region_index=np.full((NUM_IMAGES, MAX_REGIONS), -1, np.int32),
                num_redundant=np.zeros(NUM_IMAGES, np.int32),
                names=_names(),
            )


def _write_run(results, dataset, variant, fold, random, noise, validation_mr):
    """Write one run's history and similarities; more noise makes more errors."""
    folder = results.folder / variant / f"fold{fold}"
    image_of_sentence = np.repeat(np.arange(NUM_TEST, dtype=np.int32), PER_IMAGE)
    relevant = np.arange(NUM_TEST)[:, None] == image_of_sentence
    similarity = (relevant + noise * random.normal(size=relevant.shape)).round(1).astype("f4")
    results.similarity[variant, fold] = similarity
    provenance = {
        "dataset": dataset,
        "variant": variant,
        "fold": fold,
        "seed": 7,
        "epochs": 3,
        "settings": {"loss": "infonce" if variant == "still" else "triplet_sum"},
    }
    with Similarity.create(folder / "similarity.h5", provenance) as file:
        file.write(
            similarity=similarity,
            image_embeddings=np.zeros((NUM_TEST, 2), np.float32),
            sentence_embeddings=np.zeros((NUM_TEST * PER_IMAGE, 2), np.float32),
            image_of_sentence=image_of_sentence,
            names=_names()[:NUM_TEST],
            sentences=_sentences()[: NUM_TEST * PER_IMAGE],
        )
    history = pd.DataFrame(
        {"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.5 + fold], "mr": [5.0, 9.0, 8.0]}
    )
    history["best"] = history["epoch"] == 2
    history.to_csv(folder / "history.csv", index=False)
    other = (similarity + random.normal(size=relevant.shape)).astype("f4")
    return table.FoldResult(
        dataset=dataset,
        variant=variant,
        fold=fold,
        seed=7,
        ties="pessimistic",
        bootstrap_seed=7,
        image_of_sentence=image_of_sentence,
        ranks={
            "none": compute_ranks(similarity, image_of_sentence),
            "mr-code": compute_ranks(other, image_of_sentence),
        },
        params={
            "none": {"validation_mr": validation_mr.get((variant, "none"), 20 + fold)},
            "mr-code": {
                "k": 5,
                "w1": 0.3,
                "w2": 1.1,
                "xi": 0.05,
                "validation_mr": validation_mr.get((variant, "mr-code"), 10 + fold),
            },
        },
        upper_bound={"t2i_r1": 96.0, "t2i_r5": 100.0, "t2i_r10": 100.0},
    )
