"""`galr verify`: results that are reproduced, files that were changed, differences that are rounding."""

import json
import shutil
from contextlib import contextmanager

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from galr.__main__ import main
from galr.commands import verify as command
from galr.errors import StoreError, VerifyError
from galr.io.formats import Ranks
from galr.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from galr.provenance import file_sha256
from galr.similarity import verify as verification

from ..make_run import encode, evaluate, write_run  # isort: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    threads = torch.get_num_threads()
    yield write_run(tmp_path_factory.mktemp("original"))
    torch.set_num_threads(threads)


@pytest.fixture
def run(original, tmp_path):
    """A copy of the run that may be changed."""
    shutil.copytree(original.parents[2], tmp_path / "results")
    return tmp_path / "results" / original.relative_to(original.parents[2])


def verify(run, **options):
    command.run(command.Options(run=run, **options))


def hashes(run):
    return {path: file_sha256(path) for path in run.parents[1].rglob("*") if path.is_file()}


@contextmanager
def changed_provenance(path):
    """Change the provenance of an HDF5 file."""
    with h5py.File(path, "r+") as file:
        provenance = json.loads(file.attrs["provenance"])
        yield provenance
        file.attrs["provenance"] = json.dumps(provenance)


def test_a_run_is_reproduced_to_the_last_digit_and_not_written_to(original, capsys):
    before = hashes(original)
    verify(original)
    lines = capsys.readouterr().out.splitlines()
    assert hashes(original) == before
    assert lines[-1] == "the same, to the last digit"
    mr = [f"{value:.4f}" for value in pd.read_csv(original / "metrics.csv")["mr"]]
    assert lines[0].split() == ["variant", "rerank", "mR", "stored", "mR", "again"]
    assert [line.split() for line in lines[1:4]] == [
        ["both", rerank, value, value]
        for rerank, value in zip(("none", "mr-paper", "qbnorm"), mr, strict=True)
    ]


def test_another_batch_size_is_reported_as_rounding(run, capsys):
    encode(run, batch_size=3)
    with h5py.File(run / "similarity.h5", "r+") as file:
        file["image_embeddings"][0, 0] += 1e-6
    with changed_provenance(run / "similarity.h5") as provenance:  # as if on another machine
        provenance["encoded"] |= {"batch": 4, "threads": 3}
    evaluate(run)
    verify(run, threads=1, device="cpu")
    summary = capsys.readouterr().out.splitlines()[-1]
    assert summary.startswith("the same except for rounding: embeddings differ by at most 1")
    assert summary.endswith("e-06 (computed with 3 threads on cpu, now 1 thread on cpu)")


@pytest.mark.parametrize("column", ["mr", "mr_expected", "t2i_r5", "mr_low", "seed"])
def test_an_edited_number_is_named_with_its_row(run, column):
    table = pd.read_csv(run / "metrics.csv", dtype=str)
    table.loc[1, column] = str(float(table.loc[1, column]) + 0.01)
    table.to_csv(run / "metrics.csv", index=False)
    stored = table.loc[1, column]
    with pytest.raises(VerifyError, match=rf"row mr-paper: {column} is {stored}, and .* gives "):
        verify(run)


def test_a_difference_is_one_line_and_exit_code_2(run, capsys):
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(lines[:-1]))
    assert main(["verify", str(run)]) == 2
    printed = capsys.readouterr()
    assert "galr: VerifyError: " in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""
    assert "has 2 rows, and " in printed.err
    assert "gives 3 (none, mr-paper, qbnorm)" in printed.err


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


def test_edited_hits_of_ties_broken_at_random_are_found(run):
    with h5py.File(run / "ranks.h5", "r+") as file:
        for name in ("i2t_expected_hits", "t2i_expected_hits"):
            file["qbnorm"][name][:] = 1
    table = pd.read_csv(run / "metrics.csv", dtype=str)
    table.loc[2, "mr_expected"] = "100.0"
    table.to_csv(run / "metrics.csv", index=False)
    with pytest.raises(VerifyError, match=r"row qbnorm: .* i2t_expected_hits differ"):
        verify(run)


def test_a_rank_that_differs_by_one_is_reported(run, capsys, monkeypatch):
    monkeypatch.setattr(verification, "MAX_CHANGED_FRACTION", 0.1)  # of fifteen sentences
    with h5py.File(run / "ranks.h5", "r+") as file:
        ranks, hits = file["none/t2i"], file["none/t2i_hits"]
        query = int(np.argmax((ranks[:] > 0) & (ranks[:] < 3)))  # no hit changes with it
        assert hits[query].tolist() == [0, 1, 1] and ranks[query] in (1, 2)
        ranks[query] = 3 - ranks[query]
    table = pd.read_csv(run / "metrics.csv", dtype=str)
    with Ranks.open(run / "ranks.h5") as file:
        ranks = file.reranks["none"].t2i[:]
    table.loc[0, ["t2i_medr", "t2i_meanr"]] = [
        str(np.median(ranks) + 1),
        str(round(ranks.mean() + 1, 4)),
    ]
    table.to_csv(run / "metrics.csv", index=False)
    verify(run)
    summary = capsys.readouterr().out.splitlines()[-1]
    assert summary.startswith(
        "the same except for rounding: embeddings differ by at most 0.0e+00, 1 ranks"
    )


def test_embeddings_of_another_model_are_found_though_all_files_follow_from_them(run):
    original = (run / "checkpoint.pt").read_bytes()
    checkpoint = load_checkpoint(run / "checkpoint.pt")
    state_dict = {
        name: value + 0.1 * (value.dtype == torch.float32)
        for name, value in checkpoint.state_dict.items()
    }
    save_checkpoint(
        run / "checkpoint.pt", Checkpoint(**vars(checkpoint) | {"state_dict": state_dict})
    )
    encode(run)
    (run / "checkpoint.pt").write_bytes(original)
    with changed_provenance(run / "similarity.h5") as provenance:
        provenance["checkpoint_sha256"] = file_sha256(run / "checkpoint.pt")
    evaluate(run)
    row = r"(none|mr-paper|qbnorm): mR [\d.]+ is stored and [\d.]+ recomputed"
    with pytest.raises(VerifyError, match=rf"row {row}; embeddings differ by up to \S+, and round"):
        verify(run)


def test_other_images_in_a_similarity_file_are_named(run):
    with h5py.File(run / "similarity.h5", "r+") as file:
        file["validation/names"][0] = "another"
    with changed_provenance(run / "ranks.h5") as provenance:
        provenance["similarity_sha256"] = file_sha256(run / "similarity.h5")
    with pytest.raises(VerifyError, match="holds another validation/names than its checkpoint"):
        verify(run)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("similarity.h5", r"ranks\.h5 was computed from another similarity\.h5"),
        ("../../folds.csv", r"folds\.csv is not the file that .* was trained on"),
        ("../graphs.h5", r"graphs\.h5 is not the file that .* was trained on"),
        ("../../dataset.h5", r"dataset\.h5 is not the file that .* was trained on"),
    ],
)
def test_a_changed_file_is_named(run, name, message):
    path = run / name
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["note"] = "changed"
    else:
        path.write_text(path.read_text().replace("00,train", "00,val"))
    with pytest.raises((VerifyError, StoreError), match=message):
        verify(run)


def test_a_changed_checkpoint_is_named(run):
    checkpoint = load_checkpoint(run / "checkpoint.pt")
    save_checkpoint(run / "checkpoint.pt", Checkpoint(**vars(checkpoint) | {"epoch": 2}))
    with pytest.raises(VerifyError, match=r"similarity\.h5 was computed from another checkpoint"):
        verify(run)


@pytest.mark.parametrize("name", ["metrics.csv", "ranks.h5", "similarity.h5"])
def test_a_missing_file_is_named(run, name):
    (run / name).unlink()
    with pytest.raises(StoreError, match=rf"{name} does not exist; make it with galr"):
        verify(run)


def test_missing_provenance_is_named(run):
    with changed_provenance(run / "ranks.h5") as provenance:
        del provenance["evaluated"]
    message = r"ranks\.h5 has no evaluated in its provenance; delete it"
    with pytest.raises(StoreError, match=message):
        verify(run)


def test_a_model_of_one_branch_and_one_row_is_reproduced(tmp_path, capsys):
    run = write_run(tmp_path, "global", text_encoder="skipthoughts")
    evaluate(run, "--rerank none")
    assert "rerank" not in pd.read_csv(run / "metrics.csv")
    verify(run)
    assert capsys.readouterr().out.endswith("the same, to the last digit\n")
