"""The house as a whole: it plans, runs small from entrance to exit, resumes, refuses."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from galr import store
from galr.config import merge_config

ROOT = Path(__file__).parents[2]
COLUMNS = [
    "dataset",
    "variant",
    "fold",
    "rerank",
    "i2t_r1",
    "i2t_r5",
    "i2t_r10",
    "t2i_r1",
    "t2i_r5",
    "t2i_r10",
    "mr",
    "mr_low",
    "mr_high",
    "i2t_medr",
    "t2i_medr",
    "i2t_meanr",
    "t2i_meanr",
    "images",
    "sentences",
    "seed",
]

SMALL = {
    "run": ["corrected", "global"],
    "folds": {"count": 1, "validation": 0.3},
    "data": {"size": 64},
    "graphs": {"most": 8, "least_score": 0.0},
    "model": {"weights": "none", "crop": 32, "embedding": 16, "word_size": 8, "text_size": 8,
              "heads": 2, "feed_forward": 16},
    "train": {"epochs": 2, "batch": 20, "grouped": True, "min_count": 1},
    "evaluate": {"k": [10], "w1": [0.3], "w2": [0.7, 1.1], "resamples": 50},
    "report": {"examples": 2},
}  # fmt: skip

# One key of each stage, and the jobs that follow from it: no more, no fewer.
AFTER_TRAIN = {"similarity": 2, "evaluate": 2, "tabulate": 1, "report": 1}
TOUCHED = {
    "data.blank_sentence": (
        "error",
        {"data": 1, "regions": 1, "graphs": 1, "folds": 1, "train": 2, **AFTER_TRAIN},
    ),
    "graphs.bandwidth": (
        0.3,
        {"graphs": 1, "train": 1, "similarity": 1, "evaluate": 1, "tabulate": 1, "report": 1},
    ),
    "folds.validation": (0.4, {"folds": 1, "train": 2, **AFTER_TRAIN}),
    "train.margin": (0.3, {"train": 2, **AFTER_TRAIN}),
    "variants.global.train.margin": (
        0.3,
        {"train": 1, "similarity": 1, "evaluate": 1, "tabulate": 1, "report": 1},
    ),
    "evaluate.w1": ([0.5], {"evaluate": 2, "tabulate": 1, "report": 1}),
    "report.examples": (3, {"report": 1}),
    "mirror": ("elsewhere", {}),
}

PLAN = """
import contextlib, io, sys
from snakemake.cli import main
target, *names = sys.argv[1:]
for name in names:
    print(f"== {name}", flush=True)
    with contextlib.suppress(SystemExit):
        main(["--dry-run", "--cores", "2", "--configfile", name, "--", target])
"""


def snakemake(folder, *words):
    """Call the real program in a folder."""
    return subprocess.run(
        ["snakemake", "--cores", "2", *words],
        cwd=folder, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


def house(folder):
    """A copy of the house with a small demo in it."""
    for part in ("workflow", "config", "profiles"):
        shutil.copytree(ROOT / part, folder / part)
    for part in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / part, folder)
    edit(folder / "config/datasets/demo.yaml", {"images": 24, "drawn": {"images": 24, "size": 96}})
    detector = {
        "model": {"overrides": {"test_cfg": {"score_thr": 0.0}}},  # one epoch makes no score high
        "train": {"epochs": 1, "input": [96, 96]},
        "detect": {"score": 0.0, "regions": 12},
    }
    edit(folder / "config/detectors/demo.yaml", detector)
    (folder / "config/small.yaml").write_text(yaml.safe_dump(SMALL))
    return folder


def edit(path, changes):
    """Change some keys of a YAML file."""
    path.write_text(yaml.safe_dump(merge_config(yaml.safe_load(path.read_text()), changes)))


@pytest.fixture(scope="module")
def dollhouse(tmp_path_factory):
    """Drawn, detected, trained, evaluated and reported, entrance to exit."""
    folder = house(tmp_path_factory.mktemp("dollhouse"))
    ran = snakemake(folder, "--configfile", "config/small.yaml", "--", "results/demo/report.html")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.mark.slow
def test_every_stage_leaves_what_it_promises(dollhouse):
    results = dollhouse / "results/demo"
    table = pd.read_csv(results / "metrics.csv")
    assert list(table.columns[: len(COLUMNS)]) == COLUMNS
    rows = table[["variant", "fold", "rerank"]].astype(str).agg(" ".join, axis=1).tolist()
    assert sorted(rows) == sorted(
        f"{variant} {fold} {rerank}"
        for variant in ("corrected", "global")
        for fold in ("0", "mean", "std")
        for rerank in ("none", "reciprocal", "mr-code", "mr-paper", "qbnorm")
    )
    measured = table[table["fold"] != "std"]
    recalls = measured[COLUMNS[4:10]]
    assert recalls.to_numpy().min() >= 0 and recalls.to_numpy().max() <= 100
    assert (measured["mr"] - recalls.mean(axis=1)).abs().max() < 1e-3
    assert (measured["mr_low"] <= measured["mr"]).all() and (
        measured["mr"] <= measured["mr_high"]
    ).all()
    assert set(measured["seed"]) == {42} and set(measured["sentences"]) == {
        5 * measured["images"].iloc[0]
    }
    with store.reading(results / "dataset.h5", store.DATASET) as dataset:
        names = store.texts(dataset["names"])
        assert dataset["images"].shape == (24, 64, 64, 3)
    with store.reading(results / "corrected/graphs.h5", store.GRAPHS) as graphs:
        assert graphs["adjacency"].shape == (24, 8, 8)
        assert graphs["mask"][:].any(axis=1).all()
        assert graphs["representation"].shape == (24, 8, 6 + 5)
        assert store.texts(graphs["names"]) == names
    with store.reading(results / "regions.h5", store.REGIONS) as regions:
        assert store.texts(regions["names"]) == names
    page = (results / "report.html").read_text()
    assert "corrected" in page and "global" in page


@pytest.mark.slow
def test_one_key_reruns_exactly_the_stages_it_touches(dollhouse):
    files = []
    for key, (value, _) in {"nothing": (None, {}), **TOUCHED}.items():
        changed: dict = {}
        inner = changed
        *above, last = key.split(".")
        for part in above:
            inner = inner.setdefault(part, {})
        if value is not None:
            inner[last] = value
        files.append(f"config/{key}.yaml")
        (dollhouse / files[-1]).write_text(yaml.safe_dump(merge_config(SMALL, changed)))
    planned = plans(dollhouse, "results/demo/report.html", files)
    expected = {"nothing": {}} | {key: jobs for key, (_, jobs) in TOUCHED.items()}
    assert planned == {f"config/{key}.yaml": jobs for key, jobs in expected.items()}


def plans(folder, target, files):
    """Jobs of each rule that a dry run plans, under each config file; one start-up for all."""
    ran = subprocess.run(
        [sys.executable, "-c", PLAN, target, *files],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    said = re.split(r"^== (\S+)\n", ran.stdout, flags=re.MULTILINE)[1:]
    return dict(zip(said[::2], map(jobs_of, said[1::2]), strict=True))


def jobs_of(text):
    """How many jobs of each rule a dry run plans."""
    stats = re.search(r"^Job stats:\n.*\n-.*\n((?:\w+ +\d+\n)+)", text, flags=re.MULTILINE)
    if stats is None:
        assert "Nothing to be done" in text, text
        return {}
    rows = (line.split() for line in stats.group(1).splitlines())
    return {rule: int(count) for rule, count in rows if rule != "total"}


@pytest.mark.slow
def test_the_report_of_snakemake_is_written(dollhouse):
    ran = snakemake(
        dollhouse, "--configfile", "config/small.yaml", "--report", "report.html",
        "--", "results/demo/report.html",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    page = (dollhouse / "report.html").read_text()
    for category in ("Retrieval", "Training", "Regions", "Data"):
        assert category in page


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        ("config/small.yaml", {"train": {"epoch": 3}}, "unknown key 'epoch' in train; did you mean 'epochs'?"),
        ("config/small.yaml", {"run": ["globl"]}, "run: variant 'globl' is unknown; choose from published, paper, corrected"),
        ("config/small.yaml", {"run": ["published"]}, "variant published: model.text_weights: no folder resources/skipthoughts"),
        ("config/small.yaml", {"regions": {"detector": "dmo"}}, "regions.detector: 'dmo' is unknown; choose from"),
        ("config/detectors/demo.yaml", {"train": {"dataset": "dmo"}}, "detector demo: train.dataset 'dmo' is unknown"),
        ("config/datasets/demo.yaml", {"layout": {"kind": "karpathy", "file": 3}}, "demo.yaml: layout"),
    ],
)  # fmt: skip
def test_a_mistake_stops_before_the_first_job(tmp_path, file, changes, says):
    folder = house(tmp_path)
    edit(folder / file, changes)
    ran = snakemake(folder, "--configfile", "config/small.yaml", "--", "results/demo/metrics.csv")
    said = [line for line in ran.stderr.splitlines() if line.startswith("galr:")]
    assert ran.returncode == 2 and len(said) == 1 and says in said[0], ran.stderr
    assert not (folder / "results").exists() and not (folder / "resources").exists()
    assert "Traceback" not in ran.stderr


PAPER = {
    "download": 5, "extract": 1, "data": 1, "regions": 1, "graphs": 1,
    "folds": 1, "train": 6, "similarity": 6, "evaluate": 6, "tabulate": 1,
}  # fmt: skip
DETECTORS = {  # and the jobs that bring their weights, or replace them
    "demo": {"draw": 1, "train_detector": 1},
    "hrplanes": {"download_boxes": 1, "extract_boxes": 1, "train_detector": 1},
    "rtmdet-coco": {"download_detector": 1},
    "dota": {"cut_dota": 1, "train_detector": 1},
    "coco-results": {"import_regions": 1, "regions": 0},
}


def test_a_paper_dataset_plans_with_every_detector(tmp_path):
    folder = house(tmp_path)
    (folder / "resources/dota").mkdir(parents=True)
    (folder / "resources/boxes").mkdir()
    (folder / "resources/boxes/rsitmd.json").write_text("[]")
    for name in DETECTORS:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"regions": {"detector": name}}))
    planned = plans(folder, "results/rsitmd/metrics.csv", [f"{name}.yaml" for name in DETECTORS])
    for name, jobs in DETECTORS.items():
        expected = {rule: count for rule, count in (PAPER | jobs).items() if count}
        assert planned[f"{name}.yaml"] == expected, name


@pytest.mark.slow
def test_ready_boxes_and_published_matrices_are_taken(dollhouse, tmp_path):
    """What the dollhouse found and made, in other people's forms, leads to the same files again."""
    folder = house(tmp_path)
    shutil.copytree(dollhouse / "resources/demo", folder / "resources/demo")
    before = dollhouse / "results/demo"
    write_results(before / "regions.h5", folder / "resources/boxes/demo.json")
    write_published(before / "corrected/graphs.h5", folder / "resources/matrices/demo")
    variant = {
        "graphs": {"published": "resources/matrices/{dataset}"},
        "train": {"regions_move": False},
    }
    ready = {"regions": {"detector": "coco-results"}, "variants": {"theirs": variant}}
    ready |= {"run": ["corrected", "theirs", "no_drea"]}
    (folder / "config/ready.yaml").write_text(yaml.safe_dump(merge_config(SMALL, ready)))
    targets = [
        "regions.h5",
        "corrected/graphs.h5",
        "no_drea/graphs.h5",
        "theirs/fold0/metrics.csv",
    ]
    ran = snakemake(
        folder, "--configfile", "config/ready.yaml", "--", *(f"results/demo/{t}" for t in targets)
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    after = folder / "results/demo"
    same_tables(before / "regions.h5", after / "regions.h5", store.REGIONS)
    same_tables(before / "corrected/graphs.h5", after / "corrected/graphs.h5", store.GRAPHS)
    computed = ("representation", "adjacency", "mask")
    same_tables(before / "corrected/graphs.h5", after / "theirs/graphs.h5", store.GRAPHS, computed)
    with store.reading(after / "no_drea/graphs.h5", store.GRAPHS) as graphs:
        assert not graphs["redundant"][:].any()
        mask = graphs["mask"][:]
        pairs = mask[:, :, None] & mask[:, None, :]
        expected = pairs / np.maximum(mask.sum(axis=1), 1)[:, None, None]
        np.testing.assert_allclose(graphs["adjacency"][:], expected, atol=1e-6)
    assert "so likely 6 classes" in (after / "theirs/graphs.txt").read_text()


def write_results(regions, path):
    """Write regions as COCO results."""
    with store.reading(regions, store.REGIONS) as file:
        names = store.texts(file["names"])
        image = np.repeat(np.arange(len(names)), np.diff(file["offsets"][:]))
        boxes = file["boxes"][:].astype(float)
        rows = zip(image, file["classes"][:], boxes, file["scores"][:].astype(float), strict=True)
        found = [
            {
                "image_id": names[i],
                "category_id": int(label) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }
            for i, label, (x1, y1, x2, y2), score in rows
        ]
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))


def write_published(graphs, folder):
    """Write graphs as the authors wrote theirs: a pickled dictionary of matrices for each image."""
    with store.reading(graphs, store.GRAPHS) as file:
        tables = zip(
            store.texts(file["names"]), file["adjacency"][:], file["representation"][:], strict=True
        )
        known = {f"{name}.txt": {"adj_matrix": a, "local_rep": x} for name, a, x in tables}
    folder.mkdir(parents=True)
    np.save(folder / "local.npy", np.array(known, dtype=object), allow_pickle=True)


def same_tables(one, other, layout, tables=None):
    """Two files hold the same."""
    with store.reading(one, layout) as before, store.reading(other, layout) as after:
        for table in tables or layout.tables:
            assert np.array_equal(before[table][:], after[table][:]), table
