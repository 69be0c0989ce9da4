"""`galr verify`: what comes out again, what was changed, what is only rounding."""

import argparse
import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from galr import provenance, store
from galr.__main__ import main
from galr.commands import verify as stage
from galr.errors import StoreError, VerifyError
from galr.model import checkpoint as checkpoints

from ..trained import encode, evaluate, write_run  # isort: skip


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    threads = torch.get_num_threads()
    yield write_run(tmp_path_factory.mktemp("left"))
    torch.set_num_threads(threads)


@pytest.fixture
def run(left, tmp_path):
    """A copy of the run that may be spoilt."""
    shutil.copytree(left.parents[2], tmp_path / "results")
    return tmp_path / "results" / left.relative_to(left.parents[2])


def verify(run, *words):
    parser = argparse.ArgumentParser()
    stage.Options.add_arguments(parser)
    stage.run(stage.Options.from_args(parser.parse_args([str(run), *words])))


def files(run):
    return {
        path: provenance.file_sha256(path) for path in run.parents[1].rglob("*") if path.is_file()
    }


def follow(run):
    """Let the files behind similarity.h5 say that they were made of it, as somebody careful would."""
    with h5py.File(run / "ranks.h5", "r+") as file:
        said = json.loads(file.attrs["provenance"])
        said["similarity_sha256"] = provenance.file_sha256(run / "similarity.h5")
        file.attrs["provenance"] = json.dumps(said)


def test_a_run_comes_out_again_to_the_last_digit_and_is_not_touched(left, capsys):
    before = files(left)
    verify(left)
    lines = capsys.readouterr().out.splitlines()
    assert files(left) == before
    assert lines[-1] == "the same, to the last digit"
    mr = [f"{value:.4f}" for value in pd.read_csv(left / "metrics.csv")["mr"]]
    assert lines[0].split() == ["variant", "rerank", "mR", "stored", "mR", "again"]
    assert [line.split() for line in lines[1:4]] == [
        ["both", rerank, value, value]
        for rerank, value in zip(("none", "mr-paper", "qbnorm"), mr, strict=True)
    ]


def test_another_batch_is_rounding_and_says_so(run, capsys):
    encode(run, batch=3)
    with h5py.File(run / "similarity.h5", "r+") as file:  # as if it had been another machine
        said = json.loads(file.attrs["provenance"])
        said["encoded"] |= {"batch": 4, "threads": 3}
        file.attrs["provenance"] = json.dumps(said)
        file["image_embeddings"][0, 0] += 1e-6
    evaluate(run)
    verify(run, "--threads", "1", "--device", "cpu")
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict.startswith("the same but for rounding: embeddings differ by at most 1")
    assert verdict.endswith("e-06 (computed with 3 threads on cpu, now 1 thread on cpu)")


@pytest.mark.parametrize("column", ["mr", "t2i_r5", "mr_low", "seed"])
def test_an_edited_number_is_named_with_its_row(run, column):
    table = pd.read_csv(run / "metrics.csv", dtype=str)
    table.loc[1, column] = str(float(table.loc[1, column]) + 0.01)
    table.to_csv(run / "metrics.csv", index=False)
    stored = table.loc[1, column]
    with pytest.raises(VerifyError, match=rf"row mr-paper: {column} is {stored}, and .* gives "):
        verify(run)


def test_what_differs_is_one_line_and_exit_code_2(run, capsys):
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(lines[:-1]))
    assert main(["verify", str(run)]) == 2
    said = capsys.readouterr()
    assert "galr: VerifyError: " in said.err and said.err.count("\n") == 1 and said.out == ""
    assert "has 2 rows, and " in said.err and "gives 3 (none, mr-paper, qbnorm)" in said.err


@pytest.mark.parametrize(
    "tables", [["i2t", "t2i", "i2t_hits", "t2i_hits"], ["i2t_hits", "t2i_hits"]]
)
def test_edited_ranks_are_found_by_ranking_again(run, tables):
    with h5py.File(run / "ranks.h5", "r+") as file:
        for name in tables:
            file["qbnorm"][name][:] = float("hits" in name)
    table = pd.read_csv(run / "metrics.csv", dtype=str)
    recalls = [name for name in table if "_r" in name or name in ("mr", "mr_low", "mr_high")]
    table.loc[2, recalls] = "100.0"
    if "i2t" in tables:
        table.loc[2, [name for name in table if "medr" in name or "meanr" in name]] = "1.0"
    table.to_csv(run / "metrics.csv", index=False)
    with pytest.raises(VerifyError, match=r"row qbnorm: mR 100\.0000 is stored, and .* gives \d"):
        verify(run)


def test_a_rank_that_rounding_moved_is_no_last_digit(run, capsys, monkeypatch):
    monkeypatch.setattr(verify, "MOVED", 0.1)  # of fifteen sentences
    with h5py.File(run / "ranks.h5", "r+") as file:
        ranks, hits = file["none/t2i"], file["none/t2i_hits"]
        query = int(np.argmax((ranks[:] > 0) & (ranks[:] < 3)))  # no hit changes with it
        assert hits[query].tolist() == [0, 1, 1] and ranks[query] in (1, 2)
        ranks[query] = 3 - ranks[query]
    table = pd.read_csv(run / "metrics.csv", dtype=str)
    with store.reading(run / "ranks.h5", store.RANKS) as file:
        ranks = file["none/t2i"][:]
    table.loc[0, ["t2i_medr", "t2i_meanr"]] = [
        str(np.median(ranks) + 1),
        str(round(ranks.mean() + 1, 4)),
    ]
    table.to_csv(run / "metrics.csv", index=False)
    verify(run)
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict.startswith(
        "the same but for rounding: embeddings differ by at most 0.0e+00, 1 ranks"
    )


def test_embeddings_of_another_model_are_named_though_all_else_follows_from_them(run):
    held = checkpoints.load_checkpoint(run / "checkpoint.pt")
    own = (run / "checkpoint.pt").read_bytes()
    state = {
        name: value + 0.1 * (value.dtype == torch.float32)
        for name, value in held.state_dict.items()
    }
    checkpoints.save_checkpoint(
        run / "checkpoint.pt", checkpoints.Checkpoint(**vars(held) | {"state": state})
    )
    encode(run)
    (run / "checkpoint.pt").write_bytes(own)
    with h5py.File(run / "similarity.h5", "r+") as file:
        said = json.loads(file.attrs["provenance"])
        said["checkpoint_sha256"] = provenance.file_sha256(run / "checkpoint.pt")
        file.attrs["provenance"] = json.dumps(said)
    evaluate(run)
    stored = r"(none|mr-paper|qbnorm): mR [\d.]+ is stored and [\d.]+ found again"
    with pytest.raises(
        VerifyError, match=rf"row {stored}; embeddings differ by up to \S+, and round"
    ):
        verify(run)


def test_other_images_in_a_similarity_file_are_named(run):
    with h5py.File(run / "similarity.h5", "r+") as file:
        file["validation/names"][0] = "another"
    follow(run)
    with pytest.raises(VerifyError, match="holds another validation/names than its checkpoint"):
        verify(run)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("similarity.h5", r"ranks\.h5 was made of another similarity\.h5"),
        ("../../folds.csv", r"folds\.csv is not the file that .* was trained on"),
        ("../graphs.h5", r"graphs\.h5 is not the file that .* was trained on"),
        ("../../dataset.h5", r"dataset\.h5 is not the file that .* was trained on"),
    ],
)
def test_a_changed_file_is_named(run, name, says):
    path = run / name
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["note"] = "changed"
    else:
        path.write_text(path.read_text().replace("00,train", "00,val"))
    with pytest.raises((VerifyError, StoreError), match=says):
        verify(run)


def test_a_changed_checkpoint_is_named(run):
    held = checkpoints.load_checkpoint(run / "checkpoint.pt")
    checkpoints.save_checkpoint(
        run / "checkpoint.pt", checkpoints.Checkpoint(**vars(held) | {"epoch": 2})
    )
    with pytest.raises(VerifyError, match=r"similarity\.h5 was made of another checkpoint\.pt"):
        verify(run)


@pytest.mark.parametrize("name", ["metrics.csv", "ranks.h5", "similarity.h5"])
def test_a_missing_file_is_named(run, name):
    (run / name).unlink()
    with pytest.raises(StoreError, match=rf"{name} does not exist; run: snakemake"):
        verify(run)


def test_a_file_that_does_not_say_how_it_was_made_is_named(run):
    with h5py.File(run / "ranks.h5", "r+") as file:
        said = json.loads(file.attrs["provenance"])
        del said["evaluated"]
        file.attrs["provenance"] = json.dumps(said)
    with pytest.raises(StoreError, match=r"ranks\.h5 does not say evaluated; delete it"):
        verify(run)


def test_a_model_of_one_branch_and_one_row_comes_out_again(tmp_path, capsys):
    run = write_run(tmp_path, "global", text="skipthoughts")
    evaluate(run, "--rerank none")
    assert "rerank" not in pd.read_csv(run / "metrics.csv")
    verify(run)
    assert capsys.readouterr().out.endswith("the same, to the last digit\n")
