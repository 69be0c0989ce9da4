"""The workflow as a whole: it plans, runs on a small dataset, re-runs what changed, refuses mistakes."""

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from galr.config import merge_config
from galr.io.formats import Dataset, Graphs, Regions

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
    "mr_expected",
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
    "datasets": ["demo"],
    "run": ["corrected", "global"],
    "regions": {"detector": "demo"},
    "folds": {"count": 1, "validation": 0.3},
    "data": {"size": 64},
    "graphs": {"max_regions": 8, "min_score": 0.0},
    "model": {"weights": "none", "input_size": 32, "embed_dim": 16, "word_dim": 8, "gru_hidden": 8,
              "heads": 2, "ffn_dim": 16},
    "train": {"epochs": 2, "batch": 20, "group_by_image": True, "min_word_count": 1},
    "evaluate": {"k": [10], "w1": [0.3], "w2": [0.7, 1.1], "resamples": 50},
    "report": {"examples": 2},
}  # fmt: skip

# One key of each section, and the jobs that its change re-runs: no more, no fewer.
RULES_AFTER_TRAIN = {"similarity": 2, "evaluate": 2, "aggregate": 1, "report": 1}
RERUNS = {
    "data.blank_sentence": (
        "error",
        {"data": 1, "regions": 1, "graphs": 1, "folds": 1, "train": 2, **RULES_AFTER_TRAIN},
    ),
    "graphs.bandwidth": (
        0.3,
        {"graphs": 1, "train": 1, "similarity": 1, "evaluate": 1, "aggregate": 1, "report": 1},
    ),
    "folds.validation": (0.4, {"folds": 1, "train": 2, **RULES_AFTER_TRAIN}),
    "train.margin": (0.3, {"train": 2, **RULES_AFTER_TRAIN}),
    "variants.global.train.margin": (
        0.3,
        {"train": 1, "similarity": 1, "evaluate": 1, "aggregate": 1, "report": 1},
    ),
    "evaluate.w1": ([0.5], {"evaluate": 2, "aggregate": 1, "report": 1}),
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
        main(["--dry-run", "--cores", "2", "--configfile", name, "--", *target.split()])
"""


def snakemake(folder, *words):
    """Run the real program in a folder."""
    return subprocess.run(
        ["snakemake", "--cores", "2", *words],
        cwd=folder, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


def workflow_copy(folder):
    """Copy the workflow and its config into a folder, with a small demo."""
    for part in ("workflow", "config", "profiles"):
        shutil.copytree(ROOT / part, folder / part)
    for part in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / part, folder)
    edit(
        folder / "config/datasets/demo.yaml",
        {"images": 24, "synthetic": {"images": 24, "size": 96}},
    )
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
def small_workflow(tmp_path_factory):
    """A small dataset that went through every rule, from drawing to report."""
    folder = workflow_copy(tmp_path_factory.mktemp("small_workflow"))
    ran = snakemake(folder, "--configfile", "config/small.yaml", "--", "results/demo/report.html")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.mark.slow
def test_every_rule_writes_its_files(small_workflow):
    results = small_workflow / "results/demo"
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
    differences = pd.read_csv(results / "differences.csv")
    assert sorted(zip(differences["variant"], differences["against"], strict=True)) == sorted(
        5 * [("corrected", "global"), ("global", "corrected")]
    )
    with Dataset.open(results / "dataset.h5") as dataset:
        names = dataset.names
        assert dataset.images.shape == (24, 64, 64, 3)
    with Graphs.open(results / "corrected/graphs.h5") as graphs:
        assert graphs.adjacency.shape == (24, 8, 8)
        assert graphs.mask[:].any(axis=1).all()
        assert graphs.representation.shape == (24, 8, 6 + 5)
        assert graphs.names == names
    with Regions.open(results / "regions.h5") as regions:
        assert regions.names == names
    page = (results / "report.html").read_text()
    assert "corrected" in page and "global" in page


@pytest.mark.slow
def test_a_changed_key_reruns_exactly_the_rules_that_follow(small_workflow):
    files = []
    for key, (value, _) in {"nothing": (None, {}), **RERUNS}.items():
        changed: dict = {}
        inner = changed
        *above, last = key.split(".")
        for part in above:
            inner = inner.setdefault(part, {})
        if value is not None:
            inner[last] = value
        files.append(f"config/{key}.yaml")
        (small_workflow / files[-1]).write_text(yaml.safe_dump(merge_config(SMALL, changed)))
    planned = plans(small_workflow, "results/demo/report.html", files)
    expected = {"nothing": {}} | {key: jobs for key, (_, jobs) in RERUNS.items()}
    assert planned == {f"config/{key}.yaml": jobs for key, jobs in expected.items()}


def plans(folder, target, files):
    """Jobs of each rule that a dry run plans, under each config file; one start-up for all."""
    ran = subprocess.run(
        [sys.executable, "-c", PLAN, target, *files],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    output = re.split(r"^== (\S+)\n", ran.stdout, flags=re.MULTILINE)[1:]
    return dict(zip(output[::2], map(count_jobs, output[1::2]), strict=True))


def count_jobs(text):
    """How many jobs of each rule a dry run plans."""
    stats = re.search(r"^Job stats:\n.*\n-.*\n((?:\w+ +\d+\n)+)", text, flags=re.MULTILINE)
    if stats is None:
        assert "Nothing to be done" in text, text
        return {}
    rows = (line.split() for line in stats.group(1).splitlines())
    return {rule: int(count) for rule, count in rows if rule != "total"}


@pytest.mark.slow
def test_a_run_for_a_report_ends_with_its_table_and_path(small_workflow):
    """Also where nothing was left to do; a dry run prints neither."""
    words = ("--configfile", "config/small.yaml", "--", "results/demo/report.html")
    made, ended = snakemake(small_workflow, *words), "\nresults/demo/report.html\n"
    assert made.returncode == 0 and made.stdout.endswith(ended) and "mr-paper" in made.stdout
    assert not snakemake(small_workflow, "--dry-run", *words).stdout.endswith(ended)
    (small_workflow / "results/demo/report.html").unlink()
    assert snakemake(small_workflow, *words).stdout.endswith(ended)


@pytest.mark.slow
def test_snakemake_writes_its_own_report(small_workflow):
    ran = snakemake(
        small_workflow, "--configfile", "config/small.yaml", "--report", "report.html",
        "--", "results/demo/report.html",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    page = (small_workflow / "report.html").read_text()
    exhibits = {  # each file, and the beginning of its caption
        "results/demo/metrics.csv": "Recall at 1, 5 and 10 in both directions",
        "results/demo/differences.csv": "Differences of mR between the variants",
        "results/demo/report.html": "What was measured on demo",
        "results/demo/corrected/fold0/history.csv": "Training of corrected on fold 0 of demo",
        "results/demo/global/fold0/history.csv": "Training of global on fold 0 of demo",
        "results/demo/data_report.csv": "Every image and sentence of demo that a policy",
        "resources/detectors/demo/ap.csv": "Average precision of the detector demo",
    }
    for file, caption in exhibits.items():
        assert file in page and caption in page, file


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config/small.yaml", {"train": {"epoch": 3}}, "unknown key 'epoch' in train; did you mean 'epochs'?"),
        ("config/small.yaml", {"run": ["globl"]}, "run: variant 'globl' is unknown; choose from published, paper, corrected"),
        ("config/small.yaml", {"run": ["published"]}, "variant published: model.text_weights: no folder resources/skipthoughts"),
        ("config/small.yaml", {"regions": {"detector": "dmo"}}, "regions.detector: 'dmo' is unknown; choose from"),
        ("config/detectors/demo.yaml", {"train": {"dataset": "dmo"}}, "detector demo: train.dataset 'dmo' is unknown"),
        ("config/datasets/demo.yaml", {"layout": {"kind": "karpathy", "file": 3}}, "demo.yaml: layout"),
    ],
)  # fmt: skip
def test_a_mistake_stops_before_the_first_job(tmp_path, file, changes, message):
    folder = workflow_copy(tmp_path)
    edit(folder / file, changes)
    ran = snakemake(folder, "--configfile", "config/small.yaml", "--", "results/demo/metrics.csv")
    output = [line for line in ran.stderr.splitlines() if line.startswith("galr:")]
    assert ran.returncode == 2 and len(output) == 1 and message in output[0], ran.stderr
    assert not (folder / "results").exists() and not (folder / "resources").exists()
    assert "Traceback" not in ran.stderr


REFUSALS = """
import contextlib, io, json, sys
from snakemake.cli import main
answers = []
for target in sys.argv[1:]:
    words = target.split("@")
    config = ["--configfile", words[1]] if words[1:] else []
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        try:
            main(["--dry-run", *config, "--", words[0]])
        except SystemExit as end:
            code = end.code
    lines = [line for line in stderr.getvalue().splitlines() if line.startswith("galr:")]
    answers.append([code, lines])
print(json.dumps(answers))
"""


def test_a_target_that_cannot_be_made_ends_with_one_line(tmp_path):
    folder = workflow_copy(tmp_path)
    datasets = folder / "config/datasets"
    (datasets / "._ucm.yaml").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    (datasets / "ucm.yaml~").write_text("[")
    (datasets / "half.yaml").write_text("title: Half\nlicence: [\n")
    shutil.copy(datasets / "demo.yaml", datasets / "a+b c.yaml")
    mine = yaml.safe_load((datasets / "demo.yaml").read_text()) | {"folder": "pictures"}
    del mine["synthetic"]
    (datasets / "mine.yaml").write_text(yaml.safe_dump(mine))
    for name in ("coco-results", "dota"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"regions": {"detector": name}}))
    expected = {
        "results/a+b c/folds.csv": None,
        "results/demo/metrics.csv": None,
        "results/nosuch/metrics.csv": "no config/datasets/nosuch.yaml; there are a+b c, demo, mine, rsicd",
        "results/half/metrics.csv": "config/datasets/half.yaml is not YAML: line 3, column 1: ",
        "results/mine/dataset.h5": "pictures does not exist; correct the key folder in config/datasets/mine.yaml",
        "results/demo/no_dre/graphs.h5": "variant 'no_dre' is unknown; did you mean 'no_drea'?",
        "results/demo/global/fold9/metrics.csv": "there is no fold9; folds.count is 3",
        "results/demo/metrix.csv": "no rule makes results/demo/metrix.csv; did you mean results/demo/metrics.csv?",
        "results/demo/global/fold0": "results/demo/global/fold0 is a folder; name a file in it: ",
        "resources/detectors/nosuch/ap.csv": "no config/detectors/nosuch.yaml; there are coco-results, demo",
        "results/demo/regions.h5@coco-results.yaml": "resources/boxes/demo.json does not exist; detector coco-results",
        "resources/detectors/dota/files@dota.yaml": "resources/dota does not exist; put train/ and val/ of DOTA",
    }
    ran = subprocess.run(
        [sys.executable, "-c", REFUSALS, *expected],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    answers = json.loads(ran.stdout.splitlines()[-1])
    for (target, message), (code, lines) in zip(expected.items(), answers, strict=True):
        if message is None:
            assert code == 0, (target, ran.stderr)
        else:
            assert code == 2 and len(lines) == 1 and message in lines[0], (target, lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "seed: 42\n  folds: [\n",
            "config/config.yaml is not YAML: line 2, column 8: mapping values",
        ),
        ("seed", "config/config.yaml holds no keys"),
    ],
)
def test_a_config_that_is_no_yaml_is_one_line(tmp_path, text, message):
    folder = workflow_copy(tmp_path)
    (folder / "config/config.yaml").write_text(text)
    ran = snakemake(folder, "--dry-run", "--", "results/demo/metrics.csv")
    lines = ran.stderr.splitlines()
    assert ran.returncode == 2 and message in lines[-1], ran.stderr
    assert lines[-1].startswith("galr: ConfigError: ") and "WorkflowError" not in ran.stderr


def test_a_changed_file_of_an_own_folder_reruns_data_and_is_named(tmp_path):
    folder = workflow_copy(tmp_path / "workflow")
    mine = tmp_path / "mine"
    (mine / "images").mkdir(parents=True)
    images = [
        {"filename": f"{n}.png", "split": split, "sentences": [{"raw": f"sentence {n}"}]}
        for n, split in enumerate(("train", "train", "test", "test"))
    ]
    for n in range(len(images)):
        Image.new("RGB", (40, 40), (60 * n, 0, 0)).save(mine / f"images/{n}.png")
    (mine / "dataset.json").write_text(json.dumps({"images": images}))
    spec = yaml.safe_load((folder / "config/datasets/demo.yaml").read_text())
    spec = {key: spec[key] for key in ("title", "licence", "citation", "layout", "splits")}
    spec["folder"] = str(mine)
    (folder / "config/datasets/mine.yaml").write_text(yaml.safe_dump(spec))
    target = "results/mine/dataset.h5"
    ran = snakemake(folder, "--", target)
    assert ran.returncode == 0, ran.stderr
    (mine / ".DS_Store").touch()
    ran = snakemake(folder, "--dry-run", "--", target)
    assert count_jobs(ran.stdout + ran.stderr) == {} and "changed" not in ran.stderr
    (mine / "dataset.json").write_text(
        json.dumps({"images": images}).replace("sentence", "Sentence")
    )
    (mine / "images/3.png").unlink()
    ran = snakemake(folder, "--dry-run", "--", target)
    assert count_jobs(ran.stdout) == {"data": 1}
    named = [line for line in ran.stderr.splitlines() if line.startswith("galr:")]
    assert named == [f"galr: changed in {mine}: dataset.json (changed), images/3.png (deleted)"]


def test_shards_and_tables_are_unpacked_and_unpacked_again_when_they_change(tmp_path):
    """Shards come as archives, tables in a folder; a dataset's name may hold what the name of a file may."""
    folder = workflow_copy(tmp_path / "workflow")
    tables = tmp_path / "tables"
    tables.mkdir()
    archives = []
    for number, split in enumerate(("train", "test")):
        content = io.BytesIO()
        Image.new("RGB", (40, 40), (60 * number, 0, 0)).save(content, "PNG")
        rows = {"image": [content.getvalue()], "captions": [[f"sentence {number}"]]}
        pd.DataFrame(rows).to_parquet(tables / f"{split}-0.parquet")
        with tarfile.open(tmp_path / f"{split}-0.tar", "w") as tar:
            for name, data in (("1.png", content.getvalue()), ("1.txt", b"a sentence")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        urls = [f"file://{tmp_path}/{split}-0.tar"]
        archives.append({"file": f"{split}-0.tar", "urls": urls, "sha256": None})
    spec = yaml.safe_load((folder / "config/datasets/demo.yaml").read_text())
    spec = {key: spec[key] for key in ("title", "licence", "citation", "splits")}
    parquet = {"folder": str(tables), "layout": {"kind": "parquet", "file": "{split}-*.parquet"}}
    shards = {"archives": archives, "layout": {"kind": "webdataset", "shards": "{split}-*.tar"}}
    odd = "a+b $HOME 'c' (1) & 飞机"
    (folder / "config/datasets/hub.yaml").write_text(yaml.safe_dump(spec | parquet))
    (folder / f"config/datasets/{odd}.yaml").write_text(yaml.safe_dump(spec | shards))
    targets = [f"results/{name}/dataset.h5" for name in ("hub", odd)]
    ran = snakemake(folder, "--", *targets)
    assert ran.returncode == 0, ran.stderr
    for target, sentences in zip(
        targets, (["sentence 0", "sentence 1"], ["a sentence"] * 2), strict=True
    ):
        with Dataset.open(folder / target) as dataset:
            assert dataset.sentences == sentences and dataset.splits == ["train", "test"]
    assert (folder / f"resources/{odd}/unpacked/train/train-0/1.png").exists()
    rows["captions"] = [["another sentence"]]
    pd.DataFrame(rows).to_parquet(tables / "test-0.parquet")
    ran = snakemake(folder, "--dry-run", "--", *targets)
    assert count_jobs(ran.stdout) == {"unpack": 1, "data": 1}
    named = [line for line in ran.stderr.splitlines() if line.startswith("galr:")]
    assert named == [f"galr: changed in {tables}: test-0.parquet (changed)"]


PAPER_JOBS = {
    "download": 5, "extract": 1, "data": 1, "regions": 1, "graphs": 1,
    "folds": 1, "train": 6, "similarity": 6, "evaluate": 6, "aggregate": 1,
}  # fmt: skip
REPORTED = {"aggregate": 1, "all": 1, "report": 1}
DETECTOR_JOBS = {  # and the jobs that train or download its weights, or replace it
    "demo": {"draw": 1, "train_detector": 1},
    "hrplanes": {"download_boxes": 1, "extract_boxes": 1, "train_detector": 1},
    "rtmdet-coco": {"download_detector": 1},
    "dota": {"tile_dota": 1, "train_detector": 1},
    "coco-results": {"import_regions": 1, "regions": 0},
    "proposals": {"propose_regions": 1, "regions": 0},
}


def test_a_paper_dataset_plans_with_every_detector(tmp_path):
    folder = workflow_copy(tmp_path)
    (folder / "resources/dota").mkdir(parents=True)
    (folder / "resources/boxes").mkdir()
    (folder / "resources/boxes/rsitmd.json").write_text("[]")
    for name in DETECTOR_JOBS:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"regions": {"detector": name}}))
    planned = plans(
        folder, "results/rsitmd/metrics.csv", [f"{name}.yaml" for name in DETECTOR_JOBS]
    )
    for name, jobs in DETECTOR_JOBS.items():
        expected = {rule: count for rule, count in (PAPER_JOBS | jobs).items() if count}
        assert planned[f"{name}.yaml"] == expected, name


def test_without_a_target_the_datasets_of_the_config_are_planned(tmp_path):
    """The default config plans a real dataset with a detector for real images; the demo has a file of its own."""
    folder = workflow_copy(tmp_path)
    (folder / "default.yaml").write_text("{}")
    configs = ["default.yaml", "config/demo.yaml", "config/scratch.yaml"]
    default, demo, scratch = plans(folder, "", configs).values()
    assert default == PAPER_JOBS | DETECTOR_JOBS["rtmdet-coco"] | REPORTED
    jobs = {
        rule: count for rule, count in PAPER_JOBS.items() if rule not in ("download", "extract")
    }
    jobs |= {"train": 4, "similarity": 4, "evaluate": 4}
    assert scratch == jobs | DETECTOR_JOBS["demo"] | REPORTED
    jobs |= {"draw": 1, "features": 1} | DETECTOR_JOBS["proposals"] | REPORTED
    assert demo == {rule: count for rule, count in jobs.items() if count}


@pytest.mark.slow
def test_boxes_and_matrices_of_other_tools_give_the_same_files(small_workflow, tmp_path):
    """The regions as COCO results and the graphs as published matrices lead to the same files again."""
    folder = workflow_copy(tmp_path)
    shutil.copytree(small_workflow / "resources/demo", folder / "resources/demo")
    before = small_workflow / "results/demo"
    write_coco_results(before / "regions.h5", folder / "resources/boxes/demo.json")
    write_published_matrices(before / "corrected/graphs.h5", folder / "resources/matrices/demo")
    variant = {
        "graphs": {"published": "resources/matrices/{dataset}"},
        "train": {"augment_regions": False},
    }
    ready = {"regions": {"detector": "coco-results"}, "variants": {"imported": variant}}
    ready |= {"run": ["corrected", "imported", "no_drea"]}
    (folder / "config/ready.yaml").write_text(yaml.safe_dump(merge_config(SMALL, ready)))
    targets = [
        "regions.h5",
        "corrected/graphs.h5",
        "no_drea/graphs.h5",
        "imported/fold0/metrics.csv",
    ]
    ran = snakemake(
        folder, "--configfile", "config/ready.yaml", "--", *(f"results/demo/{t}" for t in targets)
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    after = folder / "results/demo"
    assert_same_tables(before / "regions.h5", after / "regions.h5", Regions)
    assert_same_tables(before / "corrected/graphs.h5", after / "corrected/graphs.h5", Graphs)
    computed = (Graphs.representation, Graphs.adjacency, Graphs.mask)
    assert_same_tables(
        before / "corrected/graphs.h5", after / "imported/graphs.h5", Graphs, *computed
    )
    with Graphs.open(after / "no_drea/graphs.h5") as graphs:
        assert not graphs.num_redundant[:].any()
        mask = graphs.mask[:]
        pairs = mask[:, :, None] & mask[:, None, :]
        expected = pairs / np.maximum(mask.sum(axis=1), 1)[:, None, None]
        np.testing.assert_allclose(graphs.adjacency[:], expected, atol=1e-6)
    assert "so likely 6 classes" in (after / "imported/graphs.txt").read_text()


def write_coco_results(regions, path):
    """Write regions as COCO results."""
    with Regions.open(regions) as file:
        names = file.names
        image = np.repeat(np.arange(len(names)), np.diff(file.offsets[:]))
        boxes = file.boxes[:].astype(float)
        rows = zip(image, file.classes[:], boxes, file.scores[:].astype(float), strict=True)
        results = [
            {
                "image_id": names[i],
                "category_id": int(label) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }
            for i, label, (x1, y1, x2, y2), score in rows
        ]
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(results))


def write_published_matrices(graphs, folder):
    """Write graphs as the authors wrote theirs: a pickled dictionary of matrices for each image."""
    with Graphs.open(graphs) as file:
        tables = zip(file.names, file.adjacency[:], file.representation[:], strict=True)
        known = {f"{name}.txt": {"adj_matrix": a, "local_rep": x} for name, a, x in tables}
    folder.mkdir(parents=True)
    np.save(folder / "local.npy", np.array(known, dtype=object), allow_pickle=True)


def assert_same_tables(one, other, kind, *tables):
    """Two files hold the same in some tables, or in all."""
    with kind.open(one) as before, kind.open(other) as after:
        assert tables or before.names == after.names
        others = after.arrays(*tables)
        for name, table in before.arrays(*tables).items():
            assert np.array_equal(table, others[name]), name
