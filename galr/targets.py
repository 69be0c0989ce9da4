"""The names in the workflow's targets: the spec files that define them, and why a target cannot be made."""

import difflib
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from galr.errors import ConfigError, printable

DATASET_FILES = (
    "dataset.h5",
    "data_report.csv",
    "differences.csv",
    "folds.csv",
    "metrics.csv",
    "regions.h5",
    "report.html",
)
VARIANT_FILES = "graphs.h5", "graphs.txt"
FOLD_FILES = "checkpoint.pt", "history.csv", "metrics.csv", "ranks.h5", "similarity.h5"
DETECTOR_FILES = "ap.csv", "checkpoint.pth"
TARGET_SUFFIX = (
    r"\.(?:csv|tsv|h5|hdf5|html?|txt|pt|pth)"  # of files that may be meant as one of these
)


Spec = TypeVar("Spec")
_ANY = r"[^/]+"


def one_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches each of the names, and nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


TARGETS = (  # whatever the names of the dataset, the variant, the fold and the detector are
    rf"results/{_ANY}/(?:{one_of(DATASET_FILES)})"
    rf"|results/{_ANY}/{_ANY}/(?:{one_of(VARIANT_FILES)})"
    rf"|results/{_ANY}/{_ANY}/fold\d+/(?:{one_of(FOLD_FILES)})"
    rf"|resources/(?:detectors/)?{_ANY}/(?:files|unpacked|archives/{_ANY})"
    rf"|resources/detectors/{_ANY}/(?:{one_of(DETECTOR_FILES)})"
)


@dataclass(frozen=True)
class Specs(Generic[Spec]):
    """The files of a folder, one spec a file, by the stem of its name.

    Attributes:
        folder: the folder.
        usable: the specs that could be read.
        errors: why the other files could not.
    """

    folder: Path
    usable: Mapping[str, Spec]
    errors: Mapping[str, ConfigError]

    def explain(self, name: str) -> ConfigError:
        """Return why there is no usable spec of a name."""
        if name in self.errors:
            return self.errors[name]
        if (self.folder / f"{name}.yml").is_file():
            return ConfigError(
                f"{self.folder}/{printable(name)}.yml is not read, only .yaml is; rename it"
            )
        return ConfigError(
            f"no {self.folder}/{printable(name)}.yaml; {_suggest(name, [*self.usable, *self.errors])}"
        )


def read_specs(folder: Path, read: Callable[[Path], Spec]) -> Specs[Spec]:
    """Read every YAML file of a folder.

    What editors and file systems leave behind (names that begin with a dot or `#`) is not read. A file that
    cannot be used is no error until its name is needed.

    Args:
        folder: the folder.
        read: reads one file; raises ConfigError.
    """
    usable: dict[str, Spec] = {}
    errors: dict[str, ConfigError] = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name.startswith((".", "#")):
            continue
        try:
            _check_name(path)
            usable[path.stem] = read(path)
        except ConfigError as error:
            errors[path.stem] = error
    return Specs(folder, usable, errors)


def _check_name(path: Path) -> None:
    """Refuse a name that cannot stand in the path of a target.

    Raises:
        ConfigError: it holds a brace or a control character, or white space at an end.
    """
    name = path.stem
    if not name.isprintable() or set(name) & set("{}") or name != name.strip():
        raise ConfigError(
            f"{printable(str(path))}: a name may not hold braces or control characters, nor begin or end with"
            " a space; rename the file"
        )


def unknown_target(
    datasets: Collection[str], detectors: Collection[str], variants: Collection[str], folds: int
) -> str:
    """Return a regular expression for paths that are built like targets, but cannot be made.

    The name of a dataset, a detector, a variant or a fold in them is unknown; or all are known, but there is no such
    file, or it is a folder.
    """
    layers = (
        (one_of(DATASET_FILES), "[^/]+", one_of(datasets)),
        (one_of(VARIANT_FILES), "[^/]+/[^/]+", f"(?:{one_of(datasets)})/(?:{one_of(variants)})"),
        (
            one_of(FOLD_FILES),
            r"[^/]+/[^/]+/fold[^/]*",
            f"(?:{one_of(datasets)})/(?:{one_of(variants)})/fold(?:{one_of([str(k) for k in range(folds)])})",
        ),
    )
    paths = [
        f"results/(?!(?:{known})/(?:{files})$){any_names}/(?:{files})"
        for files, any_names, known in layers
    ]
    paths += [
        rf"results/(?:{known})/(?!(?:{files})$)(?:[^/]+{TARGET_SUFFIX}|[^/.]+)"
        for files, _, known in layers
    ]
    paths.append(f"results/(?:{one_of(datasets)})")
    files = one_of(DETECTOR_FILES)
    paths.append(f"resources/detectors/(?!(?:{one_of(detectors)})/(?:{files})$)[^/]+/(?:{files})")
    return "|".join(paths)


def explain_target(
    target: str,
    datasets: Specs[object],
    detectors: Specs[object],
    variants: Collection[str],
    known_variants: Collection[str],
    folds: int,
) -> ConfigError:
    """Return why a target that `unknown_target` matches cannot be made.

    Args:
        target: path of the target.
        datasets: all datasets.
        detectors: all detectors.
        variants: the variants that run.
        known_variants: all variants of the config.
        folds: number of folds.
    """
    first, *names = target.split("/")
    if first == "resources":
        return detectors.explain(names[1])
    dataset, variant, fold, _ = (*names, "", "", "")[:4]
    if dataset not in datasets.usable:
        return datasets.explain(dataset)
    if len(names) < 3 or (variant in variants and len(names) < 4):
        return _explain_file(target, dataset, variants, folds)
    where = f"{target}: variant '{printable(variant)}'"
    if variant not in known_variants:
        return ConfigError(f"{where} is unknown; {_suggest(variant, known_variants)}")
    if variant not in variants:
        return ConfigError(
            f"{where} is not among those that run; add it to the key run, which is [{', '.join(variants)}]"
        )
    if fold in {f"fold{k}" for k in range(folds)}:
        return _explain_file(target, dataset, variants, folds)
    return ConfigError(
        f"{target}: there is no {printable(fold)}; folds.count is {folds}, so there are"
        f" {', '.join(f'fold{k}' for k in range(folds))}"
    )


def _explain_file(target: str, dataset: str, variants: Collection[str], folds: int) -> ConfigError:
    """Return why a file or folder of a known dataset, variant and fold is no target, with those that are near.

    Args:
        target: its path.
        dataset: name of the dataset.
        variants: the variants that run.
        folds: number of folds.
    """
    files = [f"results/{dataset}/{file}" for file in DATASET_FILES]
    for variant in variants:
        folder = f"results/{dataset}/{variant}"
        files += [f"{folder}/{file}" for file in VARIANT_FILES]
        files += [f"{folder}/fold{k}/{file}" for k in range(folds) for file in FOLD_FILES]
    if below := [file for file in files if str(Path(file).parent) == target]:
        return ConfigError(f"{target} is a folder; name a file in it: {', '.join(below)}")
    beside = [Path(file).name for file in files if Path(file).parent == Path(target).parent]
    near = difflib.get_close_matches(Path(target).name, beside, n=1)
    hint = f"did you mean {Path(target).with_name(near[0])}? " if near else ""
    return ConfigError(f"no rule makes {printable(target)}; {hint}there are {', '.join(beside)}")


def make_hint(path: Path, made_by: str = "", *, force: bool = False) -> str:
    """Say how a file is made that is missing or cannot be used.

    Args:
        path: the file.
        made_by: the command that writes such files, for a file that is no target of the workflow.
        force: the file is there, and must be made again.
    """
    for root in path.absolute().parents:
        target = path.absolute().relative_to(root).as_posix()
        if (root / "Snakefile").is_file() and re.fullmatch(TARGETS, target):
            prefix = "" if root == Path.cwd() else f"in {root} "
            return f"{prefix}run: snakemake {'--force ' if force else ''}{shlex.quote(target)}"
    return f"make it {'anew ' if force else ''}with {made_by}" if made_by else "give another file"


def _suggest(name: str, known: Collection[str]) -> str:
    """Name the nearest of the known names, then all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return (f"did you mean '{near[0]}'? " if near else "") + f"there are {', '.join(known)}"
