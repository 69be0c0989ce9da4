"""Progress of jobs: a bar's state in a file, and the monitor that shows the states of all of them."""

import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time

import pytest

from galr import progress
from galr.progress import ProgressBar, ProgressMonitor, job_name


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GALR_PROGRESS", str(tmp_path))
    monkeypatch.setattr(
        sys, "argv", ["galr", "train", "--checkpoint", "results/x/paper/fold0/c.pt"]
    )
    return tmp_path


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_job_keeps_the_state_of_its_bar_while_it_works(folder):
    with ProgressBar(total=8, desc="epoch 1 of 2", unit="pair") as bar:
        bar.update(2)
        bar.refresh()
        (file,) = folder.glob("*.json")
        state = json.loads(file.read_text())
        assert (state["n"], state["total"], state["unit"]) == (2, 8, "pair")
        assert state["job"] == "train x/paper/fold0" and state["pid"] == os.getpid()
    assert not list(folder.iterdir())


def test_a_bar_that_is_switched_off_keeps_no_state(folder, capsys):
    assert list(ProgressBar(range(3), disable=True)) == [0, 1, 2]
    assert not list(folder.iterdir())
    assert capsys.readouterr().err == ""


def test_a_state_that_cannot_be_written_fails_no_job(folder):
    folder.rmdir()
    assert list(ProgressBar(range(3), mininterval=0)) == [0, 1, 2]


def test_without_a_workflow_and_without_a_terminal_there_is_no_bar(monkeypatch, capsys):
    monkeypatch.delenv("GALR_PROGRESS", raising=False)
    assert list(ProgressBar(range(3))) == [0, 1, 2]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("galr regions --dataset results/ucm/dataset.h5 --output results/ucm/regions.h5", "regions ucm"),
        ("galr similarity --dataset results/a b/d.h5", "similarity"),
        ("galr download --sums resources/ucm/S --output resources/ucm/archives/a.zip", "download ucm/archives"),
        ("galr graphs --regions x.h5", "graphs"),
        ("pytest", ""),
    ],
)  # fmt: skip
def test_a_job_is_named_by_its_command_and_its_deepest_folder(words, name):
    assert job_name(words.split()) == name


def write_state(folder, name="a", **changes):
    state = {
        "n": 30,
        "total": 120,
        "elapsed": 30.0,
        "rate": 1.0,
        "initial": 0,
        "prefix": "epoch 2 of 8",
    }
    state |= {"unit": "pair", "unit_scale": False, "job": "train x", "pid": os.getpid()}
    state |= {"host": socket.gethostname()} | changes
    (folder / f"{name}.json").write_text(json.dumps(state))


def test_a_terminal_shows_a_bar_a_job_and_clears_it_for_messages(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "REDRAW_INTERVAL", 0.01)
    terminal = Terminal()
    monitor = ProgressMonitor(tmp_path / "states", terminal).start()
    assert os.environ["GALR_PROGRESS"] == str(tmp_path / "states")
    write_state(tmp_path / "states")
    write_state(tmp_path / "states", "b", job="regions x", prefix="")
    wait_for(lambda: "regions x:" in terminal.getvalue())
    bars = terminal.getvalue().rpartition("\033[K")[2].splitlines()
    assert re.match(r"train x: epoch 2 of 8:  25%\|.*30/120 \[00:3\d<01:30", bars[0])
    assert bars[1].startswith("regions x:  25%|")
    assert monitor.filter(logging.makeLogRecord({"msg": "a message"}))
    cleared = terminal.getvalue().split("\n")[-1]
    assert cleared.endswith("\r\033[K\033[A\033[K") or "train x" in cleared
    monitor.stop()
    assert terminal.getvalue().endswith("\r\033[K\033[A\033[K")
    assert "GALR_PROGRESS" not in os.environ


def test_without_a_terminal_a_long_job_gets_a_line_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "REDRAW_INTERVAL", 0.01)
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0.1)
    log = io.StringIO()
    monitor = ProgressMonitor(tmp_path / "states", log).start()
    write_state(tmp_path / "states")
    write_state(tmp_path / "states", "b", job="download x", prefix="", total=None)
    wait_for(lambda: log.getvalue().count("\n") >= 4)
    monitor.stop()
    lines = log.getvalue().splitlines()
    assert re.fullmatch(
        r"train x: epoch 2 of 8:  25%, 30 of 120 pair, 00:3\d so far, 01:30 left", lines[0]
    )
    assert lines[1].startswith("download x: 30pair [00:3")
    assert "\033" not in log.getvalue()


def test_a_job_that_died_and_a_file_that_is_no_state_are_not_shown(tmp_path):
    monitor = ProgressMonitor(tmp_path, Terminal())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_state(tmp_path, "ended", pid=ended.pid)
    write_state(tmp_path, "running")
    write_state(tmp_path, "elsewhere", host="another", pid=ended.pid)
    write_state(tmp_path, "old", host="another")
    os.utime(tmp_path / "old.json", (0, 0))
    (tmp_path / "cut.json").write_text('{"n": 3')
    assert [state["host"] for state in monitor._read_states()] == ["another", socket.gethostname()]
