"""The house as a whole: it plans, runs small from entrance to exit, resumes, refuses."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from galr import store
from galr.config import override

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
    "graphs": {"most": 8},
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
for name in sys.argv[1:]:
    print(f"== {name}", flush=True)
    with contextlib.suppress(SystemExit):
        main(["--dry-run", "--cores", "2", "--configfile", name, "--", "results/demo/report.html"])
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
    edit(folder / "config/detectors/demo.yaml", {"train": {"epochs": 1, "input": [96, 96]}})
    (folder / "config/small.yaml").write_text(yaml.safe_dump(SMALL))
    return folder


def edit(path, changes):
    """Change some keys of a YAML file."""
    path.write_text(yaml.safe_dump(override(yaml.safe_load(path.read_text()), changes)))


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
        for rerank in ("none", "mr-code", "mr-paper")
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
    with store.reading(results / "graphs.h5", store.GRAPHS) as graphs:
        assert graphs["adjacency"].shape == (24, 8, 8)
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
        (dollhouse / files[-1]).write_text(yaml.safe_dump(override(SMALL, changed)))
    ran = subprocess.run(
        [sys.executable, "-c", PLAN, *files],
        cwd=dollhouse, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    plans = re.split(r"^== config/(\S+)\.yaml\n", ran.stdout, flags=re.MULTILINE)[1:]
    planned = dict(zip(plans[::2], (jobs_of(text) for text in plans[1::2]), strict=True))
    assert planned == {"nothing": {}} | {key: jobs for key, (_, jobs) in TOUCHED.items()}, (
        ran.stderr
    )


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
        ("config/small.yaml", {"run": ["globl"]}, "run: variant 'globl' is unknown; choose from corrected, global"),
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


def test_a_paper_dataset_plans(tmp_path):
    ran = snakemake(house(tmp_path), "--dry-run", "--", "results/rsitmd/metrics.csv")
    assert ran.returncode == 0, ran.stdout
    assert jobs_of(ran.stdout + ran.stderr) == {
        "download": 5, "extract": 1, "draw": 1, "train_detector": 1, "data": 1, "regions": 1, "graphs": 1,
        "folds": 1, "train": 6, "similarity": 6, "evaluate": 6, "tabulate": 1,
    }  # fmt: skip
