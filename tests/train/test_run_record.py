"""run.json: what it says, and what becomes of it when a run goes on."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from galr import provenance
from galr.errors import StoreError
from galr.train.run_record import read_run_record, run_record, write_run_record

ORIGIN = {
    "dataset": "small",
    "dataset_sha256": "d" * 64,
    "graphs_sha256": None,
    "folds_sha256": "f" * 64,
    "variant": "größe",
    "fold": 1,
    "seed": 42,
    "settings": {"epochs": 3, "clip": None, "precision": "fp32"},
    "threads": 2,
    "device": "cpu",
    "versions": provenance.code_versions(),
}


@pytest.fixture
def made():
    return run_record(ORIGIN, fold_seed=7, device="cpu")


def test_a_record_says_what_the_checkpoint_says_and_where_and_when(made):
    told = {key: made[key] for key in ORIGIN if key not in ("versions", "device")}
    assert told == {key: ORIGIN[key] for key in told}
    assert made["fold_seed"] == 7 and made["device"] == {"name": "cpu"}
    assert made["packages"]["torch"] == provenance.code_versions()["torch"]
    assert made["python"] == provenance.code_versions()["python"]
    assert {"platform", "processor", "cores"} == set(made["machine"])
    started = datetime.fromisoformat(made["started"])
    assert started.tzinfo == UTC and datetime.now(UTC) - started < timedelta(minutes=5)


def test_what_is_read_is_what_was_written(made, tmp_path):
    write_run_record(tmp_path / "run.json", made, resumed=False)
    assert read_run_record(tmp_path / "run.json") == made
    assert "größe" in (tmp_path / "run.json").read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]


def test_a_run_that_goes_on_keeps_its_earlier_starts_oldest_first(made, tmp_path):
    path = tmp_path / "run.json"
    write_run_record(path, made | {"started": "first"}, resumed=True)  # nothing to keep yet
    write_run_record(path, made | {"started": "second"}, resumed=True)
    write_run_record(path, made | {"started": "third"}, resumed=True)
    found = read_run_record(path)
    assert found["started"] == "third"
    assert [each["started"] for each in found["earlier"]] == ["first", "second"]
    assert all("earlier" not in each for each in found["earlier"])
    write_run_record(path, made, resumed=False)
    assert "earlier" not in read_run_record(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "missing or damaged"),
        ("[]", "missing or damaged"),
        ("{}", "missing or damaged"),
        ('{"kind": "run", "version": 9}', "format 9 of run, this code reads 1 of run"),
        ('{"kind": "index", "version": 1}', "format 1 of index, this code reads 1 of run"),
    ],
)
def test_foreign_records_are_refused(made, tmp_path, text, says):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=re.escape(says)):
        read_run_record(path)
    with pytest.raises(StoreError, match=re.escape(says)):
        write_run_record(path, made, resumed=True)
    assert path.read_text() == text
    write_run_record(path, made, resumed=False)
    assert json.loads(path.read_text())["kind"] == "run"


def test_a_record_of_work_on_a_cpu_needs_no_torch():
    code = (
        "import sys; from galr.train.run_record import record;"
        " record({}, fold_seed=1, device='cpu'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
