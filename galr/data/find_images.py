"""Find the files of a dataset by name, although mirrors differ in folders; which file an image is: image_names.py."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from galr.errors import DataError
from galr.targets import make_hint

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})
COMPANION_FOLDERS = frozenset({"__MACOSX", "@eaDir"})  # of macOS's zips, of Synology's thumbnails
COMPANION_PREFIX = "._"  # macOS keeps attributes of a.jpg in ._a.jpg, which is no image


def list_files(folder: Path) -> list[PurePosixPath]:
    """List every file below a folder by its relative path, sorted; links are followed.

    Files that a system puts beside others are left out: `__MACOSX`, `@eaDir`, `._*`.

    Raises:
        DataError: the folder does not exist, or a file name is not UTF-8.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; correct the dataset file, or {make_hint(folder, 'galr extract')}"
        )
    files = []
    visited = set()
    for path, subfolders, names in os.walk(folder, followlinks=True):
        visited.add(os.path.realpath(path))
        # A link to a folder that was visited before would never end.
        subfolders[:] = [
            name
            for name in subfolders
            if name not in COMPANION_FOLDERS and os.path.realpath(f"{path}/{name}") not in visited
        ]
        relative = PurePosixPath(path).relative_to(PurePosixPath(folder))
        files += [relative / name for name in names if not name.startswith(COMPANION_PREFIX)]
    for file in files:
        if re.search("[\ud800-\udfff]", str(file)):  # Python's spelling of bytes that are not UTF-8
            raise DataError(f"{folder} has a file with a name that is not UTF-8, {file}; rename it")
    return sorted(files)


def clean_path(name: str) -> str:
    """Write an image's name or path in one form; a blank name becomes empty.

    Accents are composed, because macOS stores them decomposed; backslashes become slashes.
    """
    path = PurePosixPath(unicodedata.normalize("NFC", name.strip().replace("\\", "/")))
    return str(path) if path.name else ""


def image_stem(name: str) -> str:
    """Remove an image's suffix from its name or path, and nothing else.

    `a.v2` stays, `a.v2.TIF` becomes `a.v2`; otherwise as in `clean_path`.
    """
    return split_suffix(clean_path(name))[0]


def is_companion(path: PurePosixPath) -> bool:
    """Whether a file only accompanies another, as `__MACOSX/._a.jpg` and `._a.jpg` do."""
    return not COMPANION_FOLDERS.isdisjoint(path.parts) or path.name.startswith(COMPANION_PREFIX)


def split_suffix(path: str) -> tuple[str, str]:
    """Split the suffix of an image off a path; it is empty if there is none."""
    stem, dot, suffix = path.rpartition(".")
    if stem and not stem.endswith("/") and f".{suffix.lower()}" in IMAGE_SUFFIXES:
        return stem, dot + suffix
    return path, ""


def fold_path(path: str) -> str:
    """Write a path without regard to case, and with a space where it has %20."""
    return clean_path(clean_path(unquote(path)).casefold())


def find_file(names: Sequence[str], files: Iterable[PurePosixPath], folder: Path) -> Path:
    """Find the only file with the first of several names that occurs, in any subfolder.

    A path that is a name wholly goes before longer ones; case is ignored where no name occurs otherwise.

    Args:
        names: possible names, tried in order; a name may include folders to tell two files apart.
        files: relative paths, from `list_files`.
        folder: the folder that contains them.

    Raises:
        DataError: there is no such file, or more than one.
    """
    files = list(files)
    spellings: tuple[Callable[[str], str], ...] = (clean_path, fold_path)
    for spelt, name in ((spelt, name) for spelt in spellings for name in names):
        parts = PurePosixPath(spelt(name)).parts
        matches = [f for f in files if PurePosixPath(spelt(str(f))).parts[-len(parts) :] == parts]
        whole = [file for file in matches if len(file.parts) == len(parts)]
        matches = whole or matches
        if len(matches) > 1:
            raise DataError(
                f"{folder} has {len(matches)} files called {name} ({matches[0]}, {matches[1]});"
                " include the folder in the dataset file's layout"
            )
        if matches:
            return folder / matches[0]
    raise DataError(
        f"{folder} has no {' or '.join(names)} among its {len(files)} files;"
        " correct the dataset file's layout"
    )


def find_files(
    pattern: str, split: str | None, files: Sequence[PurePosixPath], folder: Path
) -> list[PurePosixPath]:
    """Find the files of a split by a name in which `*` stands for anything, in any subfolder, in their order.

    Args:
        pattern: the name, perhaps with folders; `{split}` is replaced by the split's name.
        split: the split's name in the source; None where the pattern has none.
        files: relative paths, from `list_files`.
        folder: the folder that contains them.

    Raises:
        DataError: there is no such file, or more than one of a name without `*`.
    """
    name = pattern.replace("{split}", split or "")
    if "*" not in pattern:
        return [PurePosixPath(find_file([name], files, folder).relative_to(folder))]
    parts = PurePosixPath(pattern.replace("{split}", escape(split or ""))).parts
    matches = [
        file
        for file in files
        if len(file.parts) >= len(parts) and all(map(fnmatchcase, file.parts[-len(parts) :], parts))
    ]
    if not matches:
        shown = ", ".join(map(str, files[:3])) or "none"
        raise DataError(
            f"{folder} has no {name} among its {len(files)} files ({shown}, …); correct layout or splits in the"
            " dataset file"
        )
    return matches
