"""run.json: what a training was started with, where, and on what; written before its first step.

A run that is killed leaves it as well, and one that goes on keeps what its earlier starts said.
"""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import galr
from galr.errors import StoreError
from galr.io.atomic import atomic_write

KIND, VERSION = "run", 1
EARLIER = "earlier"


def run_record(provenance: Mapping[str, Any], *, fold_seed: int, device: str) -> dict[str, Any]:
    """Write down what a run follows from.

    Args:
        origin: the provenance of its checkpoint: dataset, variant, fold, seed, hashes of the files that
            it reads, settings, graphs, threads.
        fold_seed: the seed that follows from the experiment's and the fold.
        device: `cpu`, `cuda` or `cuda:N`.

    Returns:
        All that, and the time (UTC), the state of the code, all packages, the machine and the device.
    """
    return {
        "kind": KIND,
        "version": VERSION,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **{key: value for key, value in provenance.items() if key != "versions"},
        "fold_seed": fold_seed,
        "code": {"galr": galr.__version__} | provenance.git_state(),
        "machine": provenance.machine_info(),
        "device": provenance.device_info(device),
        "python": platform.python_version(),
        "packages": provenance.dependency_versions(),
    }


def write_run_record(path: Path, record: Mapping[str, Any], *, resumed: bool) -> None:
    """Write a record, whole or not at all.

    Args:
        path: run.json.
        record: of this start.
        resumed: whether the run goes on from an earlier start, whose record is kept under `earlier`.

    Raises:
        StoreError: the earlier record is damaged.
    """
    earlier = read_run_record(path) if resumed and path.exists() else None
    if earlier is not None:
        before = earlier.pop(EARLIER, [])
        record = {**record, EARLIER: [*before, earlier]}
    with atomic_write(path) as partial:
        text = json.dumps(record, indent=2, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_run_record(path: Path) -> dict[str, Any]:
    """Read run.json.

    Raises:
        StoreError: it is missing, damaged, or something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["kind"], found["version"]) == (KIND, VERSION):
            return found
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{path} is missing or damaged ({error!r}); delete it and train again"
        ) from error
    raise StoreError(
        f"{path} is format {found['version']} of {found['kind']}, this code reads {VERSION} of {KIND};"
        " delete it and train again"
    )
