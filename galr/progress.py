"""Progress of long work: a bar in a terminal, and under Snakemake a state that the workflow's own process shows.

A job of the workflow writes to a log, not to the terminal. Its `ProgressBar` therefore keeps its state in a small file
of the folder that the environment variable `GALR_PROGRESS` names, and the `ProgressMonitor` of the workflow's process
shows the states of all running jobs.
"""

import json
import logging
import os
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SPEED_COLUMNS = ("learning_rate", "pairs_per_second")

STATE_FOLDER = "GALR_PROGRESS"  # environment variable
STATE_FIELDS = ("n", "total", "elapsed", "rate", "initial", "prefix", "unit", "unit_scale")
STATE_INTERVAL = 0.5  # seconds between two writes of a state
REDRAW_INTERVAL = 0.5  # seconds, in a terminal
LINE_INTERVAL = 60.0  # seconds between two lines about a job, where no terminal is
FORGET_AFTER = 600.0  # seconds without a write, for jobs of other machines
PLAIN_FORMAT = (
    "{desc}: {percentage:3.0f}%, {n_fmt} of {total_fmt} {unit}, {elapsed} so far, {remaining} left"
)


class ProgressBar(tqdm):  # type: ignore[type-arg]  # generic for mypy only
    """A tqdm bar on a terminal; in a job of the workflow, a state that the workflow's process shows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  as tqdm takes them
        """Take the arguments of tqdm; `disable` defaults to None: no bar where no terminal is."""
        kwargs.setdefault("disable", None)
        folder = os.environ.get(STATE_FOLDER)
        self._state = None
        if folder and kwargs["disable"] is None and not sys.stderr.isatty():
            self._state = Path(folder) / f"{socket.gethostname()}-{os.getpid()}.json"
            kwargs |= {"disable": False, "file": _Nowhere(), "mininterval": STATE_INTERVAL}
        super().__init__(*args, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Draw the bar, or write its state."""
        if self._state is None:
            super().display(msg, pos)
            return
        state = {key: self.format_dict[key] for key in STATE_FIELDS}
        state |= {"job": job_name(sys.argv), "pid": os.getpid(), "host": socket.gethostname()}
        partial = self._state.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(state, default=float), encoding="utf-8")
            partial.replace(self._state)
        except OSError:  # progress is no reason to fail
            pass

    def close(self) -> None:
        """End the bar, or forget its state."""
        super().close()
        if self._state is not None:
            self._state.unlink(missing_ok=True)


class _Nowhere:
    """A stream that drops what is written to it."""

    encoding = "utf-8"

    def write(self, text: str) -> None:
        """Drop the text."""

    def flush(self) -> None:
        """Do nothing."""


def job_name(argv: Sequence[str]) -> str:
    """Name a job by its command and by the deepest of the folders below `results` or `resources` that it names.

    Args:
        argv: the words of its command line, the program first.
    """
    folders = [
        match[1] for word in argv if (match := re.match(r"(?:results|resources)/(.+)/[^/]+$", word))
    ]
    deepest = max(folders, key=lambda folder: folder.count("/"), default="")
    return " ".join([*argv[1:2], deepest]).strip()


class ProgressMonitor(logging.Filter):
    """Shows the running jobs of a workflow: bars at the foot of a terminal, else a line a minute.

    As a filter of Snakemake's logger it passes every record, and clears the bars before one is printed.

    Args:
        folder: where the jobs keep their states; it is emptied.
        stream: what is drawn on.
    """

    def __init__(self, folder: Path, stream: TextIO = sys.stderr) -> None:
        super().__init__()
        self._folder = folder
        self._stream = stream
        self._terminal = stream.isatty()
        self._lock = threading.Lock()
        self._drawn = 0  # lines on the terminal
        self._quiet_until = 0.0
        self._printed: dict[str, float] = {}  # job -> when its last line was printed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> Self:
        """Begin to show what jobs that start from now on do."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        os.environ[STATE_FOLDER] = str(self._folder.absolute())
        self._thread.start()
        return self

    def stop(self) -> None:
        """Clear the bars and end."""
        self._ended.set()
        self._thread.join()
        self._clear()
        os.environ.pop(STATE_FOLDER, None)

    def filter(self, record: logging.LogRecord) -> bool:
        """Make room for a record; it is always printed."""
        with self._lock:
            self._clear()
            self._quiet_until = time.monotonic() + REDRAW_INTERVAL / 2
        return True

    def _run(self) -> None:
        """Draw again and again until the end."""
        while not self._ended.wait(REDRAW_INTERVAL):
            states = self._read_states()
            with self._lock:
                if self._terminal and time.monotonic() > self._quiet_until:
                    self._draw(states)
                elif not self._terminal:
                    self._print_lines(states)

    def _read_states(self) -> list[dict[str, Any]]:
        """Read the states of the jobs that still run."""
        states = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                state = json.loads(path.read_text(encoding="utf-8"))
                age = time.time() - path.stat().st_mtime
                if _runs(state) if state["host"] == socket.gethostname() else age < FORGET_AFTER:
                    states.append(state | {"elapsed": state["elapsed"] + age})
            except (OSError, ValueError, KeyError):  # it ended meanwhile
                continue
        return states

    def _draw(self, states: Sequence[dict[str, Any]]) -> None:
        """Draw one bar a job in place of the last ones."""
        self._clear()
        size = shutil.get_terminal_size()
        lines = [_format(state, ncols=size.columns - 1) for state in states[: size.lines - 2]]
        self._stream.write("\n".join(lines))
        self._stream.flush()
        self._drawn = len(lines)

    def _clear(self) -> None:
        """Remove the bars from the terminal."""
        if self._drawn:
            self._stream.write("\r\033[K" + "\033[A\033[K" * (self._drawn - 1))
            self._stream.flush()
            self._drawn = 0

    def _print_lines(self, states: Sequence[dict[str, Any]]) -> None:
        """Print a line about each job whose last line is a minute ago; none in its first minute."""
        now = time.monotonic()
        for state in states:
            if now - self._printed.setdefault(state["job"], now) >= LINE_INTERVAL:
                self._printed[state["job"]] = now
                print(_format(state, bar_format=PLAIN_FORMAT), file=self._stream, flush=True)


def _runs(state: dict[str, Any]) -> bool:
    """Whether the process of a state on this machine is still there."""
    try:
        os.kill(state["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _format(state: dict[str, Any], **layout: Any) -> str:  # noqa: ANN401  as tqdm takes them
    """Format a state as tqdm formats a bar."""
    fields = {key: state[key] for key in STATE_FIELDS}
    prefix = state["prefix"].removesuffix(": ")  # as tqdm writes a description
    fields["prefix"] = ": ".join(part for part in (state["job"], prefix) if part)
    if fields["total"] is None:
        layout.pop("bar_format", None)
    return tqdm.format_meter(**fields, **layout)


class TrainingLogger:
    """Called with every row of a training's history.

    Args:
        events: folder for TensorBoard's event files; None writes none.
    """

    def __init__(self, events: Path | None) -> None:
        self._events = events
        self._writer: SummaryWriter | None = None

    def __call__(self, row: dict[str, Any]) -> None:
        """Print an epoch, and add it to the curves `loss`, `speed/…` and `validation/…`."""
        trained = row["loss"] is not None  # not in epoch 0
        loss = f"  loss {row['loss']:8.3f}" if trained else ""
        speed = f"  {row['pairs_per_second']:.0f} pairs/s" if trained else ""
        tqdm.write(f"epoch {row['epoch']:>3}{loss}  validation mR {row['mr']:6.2f}{speed}")
        if self._events is None:
            return
        epoch = row["epoch"]
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

            # Curves of an earlier training, or of epochs that are repeated after a kill, end here.
            self._writer = SummaryWriter(str(self._events), purge_step=epoch)
        for name, value in row.items():
            if name == "epoch" or value is None:
                continue
            group = "speed/" if name in SPEED_COLUMNS else "" if name == "loss" else "validation/"
            self._writer.add_scalar(group + name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
