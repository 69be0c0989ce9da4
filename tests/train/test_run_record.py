"""run.json: its content, and the records of a run that is resumed."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from galr.errors import StoreError
from galr.provenance import code_versions
from galr.train.run_record import read_run_record, run_record, write_run_record

PROVENANCE = {
    "dataset": "small",
    "dataset_sha256": "d" * 64,
    "graphs_sha256": None,
    "folds_sha256": "f" * 64,
    "variant": "größe",
    "fold": 1,
    "seed": 42,
    "settings": {"epochs": 3, "grad_clip_norm": None, "precision": "fp32"},
    "threads": 2,
    "device": "cpu",
    "versions": code_versions(),
}


@pytest.fixture
def record():
    return run_record(PROVENANCE, fold_seed=7, device="cpu")


def test_a_record_holds_the_provenance_and_where_and_when(record):
    same = {key: record[key] for key in PROVENANCE if key not in ("versions", "device")}
    assert same == {key: PROVENANCE[key] for key in same}
    assert record["fold_seed"] == 7 and record["device"] == {"name": "cpu"}
    assert record["packages"]["torch"] == code_versions()["torch"]
    assert record["python"] == code_versions()["python"]
    assert {"platform", "processor", "cores"} == set(record["machine"])
    started = datetime.fromisoformat(record["started"])
    assert started.tzinfo == UTC and datetime.now(UTC) - started < timedelta(minutes=5)


def test_a_record_is_read_as_it_was_written(record, tmp_path):
    write_run_record(tmp_path / "run.json", record, resumed=False)
    assert read_run_record(tmp_path / "run.json") == record
    assert "größe" in (tmp_path / "run.json").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_resumed_run_keeps_its_earlier_records_oldest_first(record, tmp_path):
    path = tmp_path / "run.json"
    write_run_record(path, record | {"started": "first"}, resumed=True)  # nothing to keep yet
    write_run_record(path, record | {"started": "second"}, resumed=True)
    write_run_record(path, record | {"started": "third"}, resumed=True)
    stored = read_run_record(path)
    assert stored["started"] == "third"
    assert [earlier["started"] for earlier in stored["earlier"]] == ["first", "second"]
    assert all("earlier" not in earlier for earlier in stored["earlier"])
    write_run_record(path, record, resumed=False)
    assert "earlier" not in read_run_record(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "missing or damaged"),
        ("[]", "missing or damaged"),
        ("{}", "missing or damaged"),
        ('{"kind": "run", "version": 9}', "format 9 of run, this code reads 1 of run"),
        ('{"kind": "index", "version": 1}', "format 1 of index, this code reads 1 of run"),
    ],
)
def test_damaged_or_foreign_records_are_errors(record, tmp_path, text, message):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=re.escape(message)):
        read_run_record(path)
    with pytest.raises(StoreError, match=re.escape(message)):
        write_run_record(path, record, resumed=True)
    assert path.read_text() == text
    write_run_record(path, record, resumed=False)
    assert json.loads(path.read_text())["kind"] == "run"


def test_a_record_of_work_on_a_cpu_needs_no_torch():
    code = (
        "import sys; from galr.train.run_record import run_record;"
        " run_record({}, fold_seed=1, device='cpu'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
