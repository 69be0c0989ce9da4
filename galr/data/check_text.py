"""What `galr check` prints and lists: the values of `check_dataset` as text and as rows."""

from collections.abc import Iterator, Sequence
from itertools import islice

from galr.data.check_dataset import DatasetCheck, LabelledImage
from galr.data.duplicates import HASH_BITS
from galr.errors import printable
from galr.evaluate.metrics import RECALL_NAMES

PAIR_COLUMNS = (
    "image",
    "split",
    "file",
    "other_image",
    "other_split",
    "other_file",
    "same_file",
    "different_bits",
)


def pair_rows(check: DatasetCheck) -> Iterator[tuple[str, str, str, str, str, str, bool, int]]:
    """Yield a row of `PAIR_COLUMNS` for each pair of duplicates: pairs across splits first."""
    images = [
        *(LabelledImage(image.name, image.split, str(image.file)) for image in check.images),
        *check.others,
    ]
    for first, second, distance, equal in check.duplicates.pairs.tolist():
        yield (*images[first], *images[second], bool(equal), distance)


def format_check(check: DatasetCheck, num_shown: int) -> str:
    """Describe a dataset on a page of text.

    Args:
        check: what was found.
        num_shown: number of duplicates, and of items of each kind of problem, that are named.
    """
    sections = [
        f"{check.name}: {_count(len(check.images), 'image')} in {check.folder}",
        _splits(check),
        _images(check, num_shown),
        _duplicates(check, num_shown),
        _words(check),
        _ceilings(check),
    ]
    warnings = [f"warning: {line}" for line in check.warnings()]
    verdict = (
        "usable: galr data takes this dataset" if check.refusal is None else "not usable as it is"
    )
    return "\n\n".join(
        [section for section in sections if section] + ["\n".join([*warnings, verdict])]
    )


def _splits(check: DatasetCheck) -> str:
    """Tabulate images and sentences by split."""
    header = (
        "split", "images", "sentences", "an image (min, median, max)", "repeated in an image",
        "shared by images", "also in another split",
    )  # fmt: skip
    rows = [
        (
            name,
            f"{counts.images:,}",
            f"{counts.sentences:,}",
            "{}, {:g}, {}".format(*counts.per_image),
            f"{counts.repeated_within:,}",
            f"{counts.shared:,}",
            ", ".join(f"{other} {count:,}" for other, count in counts.also_in.items()) or "-",
        )
        for name, counts in check.splits.items()
    ]
    return _table([header, *rows]) if rows else ""


def _images(check: DatasetCheck, num_shown: int) -> str:
    """Say what the images are read as, and which are missing or cannot be read."""
    lines = [*check.scanned.readings.lines(plain=True)]
    for kind, words in (("missing_image", "missing"), ("corrupt_image", "cannot be read")):
        problems = check.items(kind)  # type: ignore[arg-type]
        lines.append(f"{_count(len(problems), 'image')} {words}")
        lines += [
            f"  {printable(f'{each.item}: {each.reason}', 300)}" for each in problems[:num_shown]
        ]
        lines += _more(len(problems), num_shown)
    if check.num_unused:
        lines.append(f"{_count(check.num_unused, 'image file')} without a sentence that is used")
    return _section("images", lines)


def _duplicates(check: DatasetCheck, num_shown: int) -> str:
    """Count the duplicates and name the first."""
    found = check.duplicates
    total = found.num_equal + found.num_similar
    counts = (
        f"{_count(found.num_equal, 'pair')} of equal files, {found.num_similar:,} more whose perceptual hashes"
        f" differ in at most {check.max_distance} of {HASH_BITS} bits; {found.num_across:,} across splits"
    )
    lines = [counts]
    lines += [
        f"{count:,} of {check.splits[split].images:,} {split} images are also in {other}"
        for (split, other), count in found.images_in.items()
        if split in check.splits
    ]
    for row in islice(pair_rows(check), num_shown):
        name, split, _, other, other_split, _, equal, distance = row
        what = "equal files" if equal else f"{distance} bits differ"
        lines.append(f"  {printable(name)} ({split}) = {printable(other)} ({other_split}): {what}")
    return _section("duplicates", lines + _more(total, num_shown))


def _words(check: DatasetCheck) -> str:
    """Say how large the vocabulary is and what share of each split it does not know."""
    words = check.words
    if words.error:
        return ""
    unknown = ", ".join(
        f"{split} {100 * counts.share:.1f} %" for split, counts in words.unknown.items()
    )
    return _section(
        "words",
        [
            f"{words.known:,} occur {words.min_count} times or more in the train sentences",
            f"unknown: {unknown}",
        ],
    )


def _ceilings(check: DatasetCheck) -> str:
    """Tabulate the best recalls that are possible."""
    rows = [
        (split, ties, *(f"{values[name]:.2f}" for name in (*RECALL_NAMES, "mr")))
        for split, rules in check.ceilings.items()
        for ties, values in rules.items()
    ]
    if not rows:
        return ""
    header = ("split", "ties", *(name.replace("_r", " R@") for name in RECALL_NAMES), "mR")
    return (
        "ceilings: the best recalls in percent, since equal sentences and equal images cannot be told apart\n"
        + _table([header, *rows])
    )


def _section(title: str, lines: Sequence[str]) -> str:
    """Put lines below a title."""
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _more(total: int, shown: int) -> list[str]:
    """Say how many are not shown."""
    return [f"  and {total - shown:,} more"] if total > shown else []


def _count(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it is not one."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Align rows of cells, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    )
