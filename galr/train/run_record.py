"""run.json: settings, seeds, inputs, code, machine and device of a training, written before its first step.

A killed run leaves it as well; a resumed run keeps the records of its earlier starts.
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
from galr.provenance import dependency_versions, device_info, git_state, machine_info

KIND, VERSION = "run", 1
EARLIER = "earlier"


def run_record(provenance: Mapping[str, Any], *, fold_seed: int, device: str) -> dict[str, Any]:
    """Describe all that a run follows from.

    Args:
        provenance: the provenance of its checkpoint: dataset, variant, fold, seed, hashes of its input
            files, settings, graphs, threads.
        fold_seed: the seed that follows from the experiment's seed and the fold.
        device: `cpu`, `cuda` or `cuda:N`.

    Returns:
        The provenance, with the time (UTC), the state of the code, all packages, the machine and the device.
    """
    return {
        "kind": KIND,
        "version": VERSION,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **{key: value for key, value in provenance.items() if key != "versions"},
        "fold_seed": fold_seed,
        "code": {"galr": galr.__version__} | git_state(),
        "machine": machine_info(),
        "device": device_info(device),
        "python": platform.python_version(),
        "packages": dependency_versions(),
    }


def write_run_record(path: Path, record: Mapping[str, Any], *, resumed: bool) -> None:
    """Write a record, whole or not at all.

    Args:
        path: run.json.
        record: of this start.
        resumed: whether the run goes on from an earlier start; its record is then kept under `earlier`.

    Raises:
        StoreError: the earlier record is damaged.
    """
    previous = read_run_record(path) if resumed and path.exists() else None
    if previous is not None:
        older = previous.pop(EARLIER, [])
        record = {**record, EARLIER: [*older, previous]}
    with atomic_write(path) as partial:
        text = json.dumps(record, indent=2, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_run_record(path: Path) -> dict[str, Any]:
    """Read run.json.

    Raises:
        StoreError: it is missing, damaged, or of another kind or version.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if (record["kind"], record["version"]) == (KIND, VERSION):
            return record
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{path} is missing or damaged ({error!r}); delete it and train again"
        ) from error
    raise StoreError(
        f"{path} is format {record['version']} of {record['kind']}, this code reads {VERSION} of {KIND};"
        " delete it and train again"
    )
