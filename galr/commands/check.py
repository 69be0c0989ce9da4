"""Check a dataset before any job: what `galr data` would refuse, duplicates, words, and ceilings.

The dataset's folder is looked up where the workflow puts it. Nothing is written but the files that
are asked for. The exit code is 2, with the same line, where `galr data` would refuse the dataset.

IN   config/datasets/{dataset}.yaml, and its files
OUT  counts by split; images that are missing or cannot be read, and what the others are read as;
     duplicates by content and by perceptual hash; repeated sentences; words that few sentences
     have; and the best recalls that are possible with these sentences and images
     --list FILE   all pairs of duplicates as CSV: image,split,file,other_image,other_split,
                   other_file,same_file,different_bits
     --json FILE   all of it as JSON

example: galr check --dataset config/datasets/rsitmd.yaml --against config/datasets/rsicd.yaml --list same.csv
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from galr.data.dataset_spec import CAPTIONS, DatasetSpec, read_dataset_spec
from galr.data.validate import PROBLEM_KINDS, Policy
from galr.errors import ConfigError, DataError, GalrError
from galr.io.csv_io import write_csv
from galr.options import OptionGroup, option
from galr.targets import make_hint

if TYPE_CHECKING:
    from galr.data.check_dataset import DatasetCheck
    from galr.data.scan_images import ScannedImages


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The dataset, the policy for each kind of problem, what counts as the same, and the outputs."""

    dataset: Path = option("the dataset file")
    folder: Path | None = option(
        "the folder of its files; none for where the workflow puts it", default=None
    )
    missing_image: Policy = option("as of galr data", default="error")
    corrupt_image: Policy = option("as of galr data", default="error")
    blank_sentence: Policy = option("as of galr data", default="drop")
    wrong_count: Policy = option("as of galr data", default="error")
    duplicate_name: Policy = option("as of galr data", default="error")
    unknown_image: Policy = option("as of galr data", default="error")
    min_word_count: int = option("how often a word must occur to be known", default=5)
    against: tuple[Path, ...] = option(
        "other dataset files, among whose images duplicates are looked for too", default=()
    )
    max_distance: int = option(
        "of the 64 bits of two perceptual hashes, how many may differ in duplicates", default=4
    )
    unpack_limit_gb: float = option(
        "gigabytes that tables or shards may be unpacked to, into a temporary folder", default=20
    )
    show: int = option("number of duplicates, and of items of each problem, to print", default=5)
    list: Path | None = option("CSV of all duplicates to write", default=None)
    json: Path | None = option("JSON to write", default=None)

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.min_word_count < 1 or self.show < 0:
            raise ConfigError(
                f"min_word_count must be at least 1 and show at least 0, got {self.min_word_count} and"
                f" {self.show}"
            )
        if not 0 <= self.max_distance <= 16:
            raise ConfigError(f"max_distance must be 0 to 16, got {self.max_distance}")


def run(options: Options) -> None:
    """Check the dataset, print and write what was found.

    Raises:
        GalrError: `galr data` would refuse the dataset.
    """
    dataset = read_dataset_spec(options.dataset)
    try:
        check = _check(dataset, options)
    except GalrError as error:
        if options.json:
            _write_json(
                options.json, {"dataset": dataset.name, "usable": False, "reason": str(error)}
            )
        raise
    from galr.data.check_text import PAIR_COLUMNS, format_check, pair_rows

    print(format_check(check, options.show))
    if options.list:
        write_csv(options.list, PAIR_COLUMNS, pair_rows(check))
    if options.json:
        _write_json(options.json, check.to_dict())
    if check.refusal is not None:
        raise check.refusal


def _check(dataset: DatasetSpec, options: Options) -> "DatasetCheck":
    """Check the dataset in its folder, beside the other datasets."""
    from galr.data.check_dataset import check_dataset, scan_dataset  # Pillow and pandas

    with TemporaryDirectory(prefix="galr-check-") as temporary:
        others: dict[str, ScannedImages] = {}
        for path in options.against:
            other = read_dataset_spec(path)
            source = _find_source(other, _root(path))
            unpacked = Path(temporary) / str(len(others))
            folder = _image_folder(other, source, unpacked, options.unpack_limit_gb)
            others[other.name] = scan_dataset(other, folder)
        source = options.folder or _find_source(dataset, _root(options.dataset))
        folder = _image_folder(
            dataset, source, Path(temporary) / "checked", options.unpack_limit_gb
        )
        check = check_dataset(
            dataset,
            folder,
            others,
            policies={kind: getattr(options, kind) for kind in PROBLEM_KINDS},
            min_word_count=options.min_word_count,
            max_distance=options.max_distance,
        )
    return replace(check, folder=source)


def _image_folder(dataset: DatasetSpec, source: Path, unpacked: Path, limit_gb: float) -> Path:
    """Return the folder of a dataset's image files; tables and shards are unpacked.

    Args:
        dataset: the dataset.
        source: the folder that it comes as, or the one that `galr unpack` wrote.
        unpacked: the folder to unpack to.
        limit_gb: gigabytes that may be unpacked.

    Raises:
        DataError: a table or shard is missing or damaged.
    """
    from galr.data.unpack import unpack

    if not dataset.is_packed or (source / CAPTIONS).is_file():
        return source
    unpack(dataset, source, unpacked, limit_gb=limit_gb)
    return unpacked


def _root(dataset: Path) -> Path:
    """The workflow's folder: the one of config/datasets/<name>.yaml, else the current one."""
    parents = dataset.absolute().parents
    if [folder.name for folder in parents[:2]] == ["datasets", "config"]:
        return parents[2]
    return Path.cwd()


def _find_source(dataset: DatasetSpec, root: Path) -> Path:
    """Find the folder of a dataset's files where the workflow puts or expects it.

    Args:
        dataset: the dataset.
        root: the workflow's folder.

    Raises:
        DataError: it does not exist; the message says how it is made.
    """
    unpacked = root / "resources" / dataset.name / "unpacked"
    if dataset.is_packed and dataset.folder is None and unpacked.is_dir():
        return unpacked
    if dataset.folder is not None:
        return root / dataset.folder
    folder = root / "resources" / dataset.name / "files"
    if folder.is_dir():
        return folder
    if dataset.synthetic is not None:
        raise DataError(f"{folder} does not exist; {make_hint(folder, 'galr draw')}")
    archives = folder.with_name("archives")
    missing = [each.file for each in dataset.archives if not (archives / each.file).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(dataset.archives)} archives of {dataset.name} are not in {archives}:"
            f" {', '.join(missing)}; {make_hint(folder, 'galr download and galr extract')}"
        )
    raise DataError(
        f"the archives of {dataset.name} are not extracted yet; {make_hint(folder, 'galr extract')}"
    )


def _write_json(path: Path, document: dict[str, object]) -> None:
    """Write JSON, whole or not at all."""
    from galr.io.atomic import atomic_write

    with atomic_write(path) as partial:
        text = json.dumps(document, indent=2, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")
