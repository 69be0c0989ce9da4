"""`galr <command>`: reads the command line, runs the command, sets the exit code."""

import argparse
import errno
import importlib
import os
import re
import select
import sys
import textwrap
from types import ModuleType
from typing import NoReturn, TextIO

from galr import __version__
from galr.errors import ConfigError, GalrError, explain_missing_extra, printable

# A waiting OpenMP thread spins for this long, then sleeps. GNU OpenMP's default spins on: on two cores,
# another program then takes five times as long. Read when torch is loaded, so set before any command is.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# cuBLAS gives the same sums every time only with a workspace of its own. Read when a GPU is first used.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

COMMANDS = {
    "draw": "draw the synthetic demo dataset: aerial scenes, their sentences and their boxes",
    "download": "download one archive of a dataset and verify it",
    "extract": "extract a dataset's archives safely",
    "unpack": "make image files of a dataset that packs them in Parquet tables or tar shards",
    "check": "check a dataset before any job: what is missing, duplicates, words, ceilings",
    "data": "validate a dataset and store it as one HDF5 file",
    "download-detector": "download a detector's published weights, or the boxes it is trained on",
    "tile-dota": "cut a folder in DOTA's layout into tiles with axis-aligned boxes in COCO format",
    "train-detector": "train an mmdet detector on boxes in COCO format",
    "regions": "detect the regions of every image with mmdet",
    "import-regions": "take boxes that another tool found instead of detecting",
    "graphs": "turn detections into representation and adjacency matrices (DREA)",
    "import-graphs": "take the matrices that the authors published instead of DREA's",
    "features": "compute what frozen encoders say of every image and sentence once",
    "folds": "draw the training and validation images of every fold",
    "train": "train one variant on one fold",
    "similarity": "encode every test image and sentence once and compare them all",
    "rerank": "rerank any similarity matrix (MR)",
    "evaluate": "recalls, mR and ranks of any similarity matrix, with confidence intervals",
    "verify": "compute a run's test results again from its checkpoint and compare them",
    "export": "write a trained model as safetensors, for galr.load and other programs",
    "index": "embed the images of a dataset or folder into an index to search",
    "search": "find the images that a sentence describes, or that are similar to an image",
    "aggregate": "collect the metrics of all variants and folds in metrics.csv",
    "report": "write the report: one self-contained HTML file",
    "show": "print the table of numbers and the path of the report",
}

# Extra to install where a package is missing, if a command needs another one than the package's own.
COMMAND_EXTRAS = {
    "check": "workflow",
    "train-detector": "detect",
    "regions": "detect",
    "folds": "workflow",
    "index": "search",
    "search": "search",
}


LONG_WORD = re.compile(
    r"\S{121,}"
)  # of a message; shortened, since a user's text is not echoed whole


class ArgumentParser(argparse.ArgumentParser):
    """A parser that reports an error in one line instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of printing it.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"{printable(_shorten(message), 2000)}; see: {self.prog} --help")


def main(argv: list[str] | None = None) -> int:
    """Run one command; an explained error becomes one line on stderr.

    Args:
        argv: words after `galr`; those of this process by default.

    Returns:
        The exit code: 0, 2 after an explained error, 130 after an interrupt, and 141, as of a program that SIGPIPE
        ended, when whoever reads the output has read enough (`galr … | head -1`).
    """
    try:
        try:
            return _run_explained(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()  # here a closed pipe can be caught; when the interpreter exits it cannot
    except BrokenPipeError:
        if not _drop_closed_outputs():
            raise
        return 141


def _run_explained(argv: list[str]) -> int:
    """Run one command; an explained error becomes one line on stderr, and the exit code says so."""
    try:
        run(argv)
    except GalrError as error:
        line = _shorten(" ".join(str(error).split()))
        print(f"galr: {type(error).__name__}: {line}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = printable(str(error.filename))
        print(f"galr: ConfigError: no file can have a name as long as '{name}'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("galr: interrupted", file=sys.stderr)
        return 130
    return 0


def _shorten(message: str) -> str:
    """Shorten the long words of a message."""
    return LONG_WORD.sub(lambda word: printable(word[0]), message)


def _drop_closed_outputs() -> bool:
    """Send what is left for stdout and stderr nowhere, each if nobody reads it any more; tell whether one was so.

    A broken pipe of another kind, such as that of a worker that died, is not dropped.
    """
    closed = [stream for stream in (sys.stdout, sys.stderr) if _has_no_reader(stream)]
    for stream in closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return bool(closed)


def _has_no_reader(stream: TextIO) -> bool:
    """Tell whether a stream is a pipe, and its reader has closed it."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # no pipe: a buffer, or Windows
        return False
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def run(argv: list[str]) -> None:
    """Parse the command line and run the command it names.

    Raises:
        GalrError: any error with an explanation.
    """
    main_parser = ArgumentParser(
        prog="galr",
        description="From a dataset's name to its table of numbers, one command at a time.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n"
        + "\n".join(f"  {name:<17} {text}" for name, text in COMMANDS.items())
        + "\n\n`galr <command> --help` describes each.",
    )
    main_parser.add_argument("--version", action="version", version=f"galr {__version__}")
    main_parser.add_argument(
        "command", choices=COMMANDS, metavar="command", help="one of the commands below"
    )
    name = main_parser.parse_args(argv[:1]).command
    with explain_missing_extra(COMMAND_EXTRAS.get(name)):
        parser, command = command_parser(name)
        command.run(command.Options.parse(parser, argv[1:]))


def command_parser(name: str) -> tuple[ArgumentParser, ModuleType]:
    """Import a command and build its parser; no other command is imported."""
    command = importlib.import_module(f"galr.commands.{name.replace('-', '_')}")
    parser = ArgumentParser(
        prog=f"galr {name}",
        description=textwrap.dedent(command.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.Options.add_arguments(parser)
    return parser, command


if __name__ == "__main__":
    sys.exit(main())
