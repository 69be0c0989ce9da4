"""`galr <stage>`: the only argv, the only exit code, the only traceback policy."""

import argparse
import importlib
import os
import sys
import textwrap
from typing import NoReturn

from galr import __version__
from galr.errors import ConfigError, GalrError

# A thread that waits spins a little, then sleeps. GNU OpenMP unasked spins on, and a neighbour on one
# of two cores then costs five times the work. Read when torch is loaded, so said before any stage is.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# cuBLAS gives the same sums every time only with a workspace of its own. Read when a GPU is first used.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

COMMANDS = {
    "draw": "draw the demo dataset: aerial scenes, their sentences and their boxes",
    "download": "fetch one archive of a dataset and verify it",
    "extract": "unpack a dataset's archives, refusing the dangerous",
    "data": "validate a dataset and store it as one HDF5 file",
    "download-detector": "fetch a detector's published weights, or the boxes it trains on",
    "cut-dota": "cut a folder in DOTA's layout into slices with upright boxes in COCO form",
    "train-detector": "train an mmdet detector on boxes in COCO form",
    "regions": "detect the regions of every image with mmdet",
    "import-regions": "take boxes that another tool found instead of detecting",
    "graphs": "turn detections into representation and adjacency matrices (DREA)",
    "import-graphs": "take the authors' own published matrices instead of DREA's",
    "folds": "draw the training and validation images of every fold",
    "train": "fit one variant on one fold",
    "similarity": "encode every test image and sentence once and compare them all",
    "rerank": "rerank anybody's similarity matrix (MR)",
    "evaluate": "recalls, mR and ranks of anybody's similarity matrix, with intervals",
    "verify": "compute a run's test rows again from its checkpoint, and say whether they are the same",
    "export": "write a trained model as safetensors, for galr.load and anybody else",
    "index": "embed a dataset's images, or a folder of your own, into an index to search",
    "search": "find the pictures that a sentence describes, or that look like a picture",
    "tabulate": "gather all variants and folds into metrics.csv",
    "report": "write the report: one self-contained HTML file",
    "show": "print the table of numbers and where the report lies",
}


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose complaint is one line of ours instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise ConfigError(f"{message}; see: {self.prog} --help")


def main(argv: list[str] | None = None) -> int:
    """Run one stage; turn an explained mistake into one line and exit code 2."""
    try:
        run(sys.argv[1:] if argv is None else argv)
    except GalrError as error:
        line = " ".join(str(error).split())
        print(f"galr: {type(error).__name__}: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("galr: interrupted", file=sys.stderr)
        return 130
    return 0


def run(argv: list[str]) -> None:
    """Read the command line and run the stage it names."""
    front = ArgumentParser(
        prog="galr",
        description="From a dataset's name to its table of numbers, one stage at a time.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="stages:\n"
        + "\n".join(f"  {name:<17} {says}" for name, says in COMMANDS.items())
        + "\n\n`galr <stage> --help` says more about each.",
    )
    front.add_argument("--version", action="version", version=f"galr {__version__}")
    front.add_argument("stage", choices=COMMANDS, metavar="stage", help="one of the stages below")
    name = front.parse_args(argv[:1]).stage
    module = name.replace("-", "_")
    try:  # only the command that is run is imported
        command = importlib.import_module(f"galr.commands.{module}")
    except ModuleNotFoundError as error:  # until all are in galr/commands
        if error.name != f"galr.commands.{module}":
            raise
        command = importlib.import_module(f"galr.stages.{module}")
    parser = ArgumentParser(
        prog=f"galr {name}",
        description=textwrap.dedent(command.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options = getattr(command, "Options", None) or command.Flags
    options.add_arguments(parser)
    command.run(options.from_args(parser.parse_args(argv[1:])))


if __name__ == "__main__":
    sys.exit(main())
