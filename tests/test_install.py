"""The wheel in an empty environment: what works without extras, and what a missing extra says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
HEAVY = ("torch", "mmdet", "faiss", "snakemake", "sklearn", "torch_geometric")


def run(*words, **options):
    """Run a program and return what it did."""
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True, text=True, check=False, timeout=300, **options,
    )  # fmt: skip


def checked(*words, **options):
    """Run a program that must succeed."""
    done = run(*words, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def galr(tmp_path_factory):
    """The command of an environment that has the wheel and its own dependencies, in the lock's versions."""
    folder = tmp_path_factory.mktemp("install")
    source = folder / "source"
    source.mkdir()
    for name in ("galr", "pyproject.toml", "README.md", "LICENSE"):
        checked("cp", "-r", ROOT / name, source)
    checked(UV, "build", "--quiet", "--wheel", "--out-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    lock = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line.rstrip(" \\") for line in lock if re.match(r"[\w.-]+==", line)]
    (folder / "constraints.txt").write_text("\n".join(pins))
    checked(UV, "venv", "--quiet", folder / "env")
    python = folder / "env/bin/python"
    checked(
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--constraint",
        folder / "constraints.txt",
        wheel,
    )
    return folder / "env/bin/galr"


@pytest.mark.slow
def test_the_bare_package_brings_no_heavy_library(galr):
    for name in HEAVY:
        assert run(galr.with_name("python"), "-c", f"import {name}").returncode == 1, name


@pytest.mark.slow
def test_matrices_are_evaluated_and_reranked(galr, tmp_path):
    random = np.random.default_rng(0)
    np.save(tmp_path / "S.npy", random.normal(size=(12, 60)).astype(np.float32))
    checked(galr, "evaluate", "--similarity", "S.npy", "--output", "M.csv", cwd=tmp_path)
    assert (tmp_path / "M.csv").read_text().count("\n") == 2
    checked(
        galr, "rerank", "--similarity", "S.npy", "--direction", "i2t", "--variant", "paper",
        "--output", "R.npy", cwd=tmp_path,
    )  # fmt: skip
    assert np.load(tmp_path / "R.npy").shape == (12, 60)


@pytest.mark.slow
def test_graphs_are_made_of_the_boxes_of_another_tool(galr, tmp_path):
    boxes = [{"image_id": "a", "category_id": 1, "bbox": [10, 10, 20, 20], "score": 0.9}]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    (tmp_path / "sizes.csv").write_text("image_id,width,height\na,100,100\nb,100,100\n")
    checked(
        galr,
        "graphs",
        "--boxes",
        "boxes.json",
        "--sizes",
        "sizes.csv",
        "--output",
        "g.h5",
        cwd=tmp_path,
    )
    assert (tmp_path / "g.h5").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("similarity", "--checkpoint", "c.pt", "--dataset", "d.h5", "--graphs", "none", "--folds", "f.csv",
          "--output", "s.h5"), "train"),
        (("export", "--checkpoint", "c.pt", "--output", "m.safetensors"), "train"),
        (("search", "--index", "index", "a plane"), "search"),
    ],
)  # fmt: skip
def test_a_missing_extra_is_one_line_that_names_it(galr, tmp_path, words, extra):
    (tmp_path / "index").mkdir()
    (tmp_path / "index/index.json").write_text("{}")  # a missing index is refused before that
    done = run(galr, *words, cwd=tmp_path)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and len(lines) == 1 and f"galr[{extra}]" in lines[0], done.stderr
