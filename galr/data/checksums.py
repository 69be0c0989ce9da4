"""`SHA256SUMS`: what every archive hashed to at first use, as `sha256sum --check` reads it."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galr.errors import DataError
from galr.whole import whole

LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def recorded(sums: Path) -> dict[str, str]:
    """Read the recorded hashes, file name to 64 hexadecimal digits; none where nothing is recorded.

    Raises:
        DataError: a line is not as `sha256sum` writes it.
    """
    if not sums.exists():
        return {}
    found = {}
    for number, line in enumerate(sums.read_text(encoding="utf-8").splitlines(), start=1):
        match = LINE.fullmatch(line)
        if match is None:
            raise DataError(
                f"{sums} line {number} is '{line}', expected a sha256, two spaces and a file name;"
                " correct the line, or delete it to trust the next download"
            )
        found[match[2]] = match[1]
    return found


def record(sums: Path, file: str, sha256: str) -> None:
    """Remember what a file hashes to; downloads that end together keep each other's line."""
    sums.parent.mkdir(parents=True, exist_ok=True)
    with _alone(sums):
        lines = recorded(sums) | {file: sha256}
        text = "".join(f"{lines[name]}  {name}\n" for name in sorted(lines))
        with whole(sums) as partial:
            partial.write_text(text, "utf-8")


@contextmanager
def _alone(sums: Path) -> Iterator[None]:
    """Hold the lock beside the file: the file itself is replaced, so it cannot carry the lock."""
    with sums.with_name(f".{sums.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
