"""Where the numbers come from: what every file says of its own making, told once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from galr.report.results import RunId


@dataclass(frozen=True)
class ProvenanceView:
    """What every file says of its own making, a row a value."""

    by_file: Mapping[str, Mapping[str, str]]  # by what the file holds
    shared: Mapping[str, str]  # what all runs say alike
    by_run: Mapping[RunId, Mapping[str, str]]  # what each says for itself
    page_versions: Mapping[str, str]  # versions of the code that made the page

    @property
    def detector(self) -> dict[str, str]:
        """What regions.h5 says of the detector."""
        said = self.by_file.get("regions.h5", {})
        return {key: value for key, value in said.items() if key.startswith("detector")}

    @property
    def differing_keys(self) -> list[str]:
        """Every row that some run says for itself, in order."""
        return list(dict.fromkeys(key for rows in self.by_run.values() for key in rows))


def make_provenance_view(
    files: Mapping[str, Mapping[str, Any]],
    runs: Mapping[RunId, Mapping[str, Any]],
    page: Mapping[str, str],
) -> ProvenanceView:
    """Write down where everything comes from.

    Args:
        files: the provenance of each file, by what it holds.
        runs: the provenance of each run's similarities.
        page: versions of the code that makes the page.
    """
    alike, own = split_common([flatten(said) for said in runs.values()])
    return ProvenanceView(
        {name: flatten(said) for name, said in files.items()},
        alike,
        dict(zip(runs, own, strict=True)),
        page,
    )


def flatten(document: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Write a nested document as one row a value, its key the way to it.

    A short list of plain values is one row; a list of documents is a row for each of their values.
    """
    rows: dict[str, str] = {}
    for key, value in document.items():
        name = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping):
            rows |= flatten(value, name)
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            rows |= flatten({str(place): item for place, item in enumerate(value)}, name)
        else:
            rows[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return rows


def split_common(
    documents: Sequence[Mapping[str, str]],
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Part what all documents say alike from what each says for itself.

    Returns:
        The rows that stand in every document with the same value, and the other rows of each.
    """
    first = documents[0] if documents else {}
    alike = {k: v for k, v in first.items() if all(other.get(k) == v for other in documents)}
    return alike, [{k: v for k, v in each.items() if k not in alike} for each in documents]
