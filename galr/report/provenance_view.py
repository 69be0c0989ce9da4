"""The provenance of all files as rows of keys and values; what all runs have in common is listed once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from galr.report.results import RunId


@dataclass(frozen=True)
class ProvenanceView:
    """The provenance of all files, with one row for each value.

    Attributes:
        by_file: rows of each file that belongs to no run, by name of the file.
        shared: rows that the similarity.h5 of all runs have in common.
        by_run: the other rows of each run's similarity.h5.
        page_versions: versions of the code that wrote the page.
        warnings: what the trainings warned of, and the runs that did.
    """

    by_file: Mapping[str, Mapping[str, str]]
    shared: Mapping[str, str]
    by_run: Mapping[RunId, Mapping[str, str]]
    page_versions: Mapping[str, str]
    warnings: Mapping[str, Sequence[RunId]]

    @property
    def detector(self) -> dict[str, str]:
        """The rows of regions.h5 about the detector."""
        rows = self.by_file.get("regions.h5", {})
        return {key: value for key, value in rows.items() if key.startswith("detector")}

    @property
    def differing_keys(self) -> list[str]:
        """The keys of all rows in `by_run`, in order."""
        return list(dict.fromkeys(key for rows in self.by_run.values() for key in rows))


def make_provenance_view(
    files: Mapping[str, Mapping[str, Any]],
    runs: Mapping[RunId, Mapping[str, Any]],
    page_versions: Mapping[str, str],
) -> ProvenanceView:
    """Convert the provenance of all files to rows.

    Args:
        files: the provenance of each file that belongs to no run, by name of the file.
        runs: the provenance of each run's similarity.h5.
        page_versions: versions of the code that writes the page.
    """
    shared, differing = split_common([flatten(provenance) for provenance in runs.values()])
    return ProvenanceView(
        {name: flatten(provenance) for name, provenance in files.items()},
        shared,
        dict(zip(runs, differing, strict=True)),
        page_versions,
        collect_warnings(runs),
    )


def collect_warnings(runs: Mapping[RunId, Mapping[str, Any]]) -> dict[str, list[RunId]]:
    """Collect the warnings in the provenance of runs, each once, with the runs that have it."""
    warnings: dict[str, list[RunId]] = {}
    for run, provenance in runs.items():
        for line in provenance.get("warnings", ()):
            warnings.setdefault(line, []).append(run)
    return warnings


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Convert a nested document to one row for each value, with dotted keys such as `model.embed_dim`.

    A list of plain values is one row; a list of documents has a row for each of their values.

    Args:
        document: of strings, numbers, lists and documents, as JSON has them.
        prefix: key of the document itself.
    """
    rows: dict[str, str] = {}
    for key, value in document.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            rows |= flatten(value, name)
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            rows |= flatten({str(index): item for index, item in enumerate(value)}, name)
        else:
            rows[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return rows


def split_common(
    documents: Sequence[Mapping[str, str]],
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Separate the rows that all documents have in common from the others.

    Returns:
        The rows that every document has with the same value, and the other rows of each.
    """
    first = documents[0] if documents else {}
    shared = {
        key: value
        for key, value in first.items()
        if all(document.get(key) == value for document in documents)
    }
    return shared, [
        {key: value for key, value in document.items() if key not in shared}
        for document in documents
    ]
