"""Several threads over the blocks of one array; NumPy lets go of the interpreter while it works."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from galr.errors import ConfigError


def in_blocks(work: Callable[[slice], None], rows: Iterable[slice], threads: int) -> None:
    """Work on blocks of rows, each once, in any order.

    Args:
        work: writes what it finds for a block into rows that no other block writes.
        rows: the blocks; where they are cut must not depend on `threads`.
        threads: how many at once, at least 1.
    """
    if threads == 1:
        for block in rows:
            work(block)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, rows):  # raises what a block raised
            pass


def check(threads: int) -> None:
    """Refuse a number of threads that does no work.

    Raises:
        ConfigError: says which.
    """
    if threads < 1:
        raise ConfigError(f"threads must be at least 1, got {threads}")
