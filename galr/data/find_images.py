"""Find the files of a dataset by name, although mirrors differ in folders and suffixes."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from galr.errors import DataError
from galr.targets import make_hint

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})


def list_files(folder: Path) -> list[PurePosixPath]:
    """List every file below a folder by its relative path, sorted; links are followed.

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
            name for name in subfolders if os.path.realpath(f"{path}/{name}") not in visited
        ]
        relative = PurePosixPath(path).relative_to(PurePosixPath(folder))
        files += [relative / name for name in names]
    for file in files:
        if re.search("[\ud800-\udfff]", str(file)):  # Python's spelling of bytes that are not UTF-8
            raise DataError(f"{folder} has a file with a name that is not UTF-8, {file}; rename it")
    return sorted(files)


def image_stem(name: str) -> str:
    """Remove an image's suffix from its name or path, and nothing else.

    `a.v2` stays, `a.v2.TIF` becomes `a.v2`, a blank name becomes empty. Accents are composed, because some file
    systems store them decomposed; backslashes become slashes.
    """
    path = PurePosixPath(unicodedata.normalize("NFC", name.strip().replace("\\", "/")))
    if not path.name:
        return ""
    return str(path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path)


def images_by_stem(files: Iterable[PurePosixPath]) -> dict[str, list[PurePosixPath]]:
    """Group the image files by the last part of their stem; other files are left out."""
    groups: dict[str, list[PurePosixPath]] = {}
    for file in files:
        if file.suffix.lower() in IMAGE_SUFFIXES:
            groups.setdefault(image_stem(file.name), []).append(file)
    return groups


def match_image(
    name: str, images: Mapping[str, Sequence[PurePosixPath]]
) -> Sequence[PurePosixPath]:
    """Find the image files that a name in the annotations may mean.

    Args:
        name: an image's stem, with the folders that the dataset gives, if any.
        images: files grouped by `images_by_stem`.

    Returns:
        The files of that stem; if some of them are in the folders that the name gives, only those.
    """
    parts = PurePosixPath(name).parts
    candidates = images.get(parts[-1], ())
    exact = [
        file
        for file in candidates
        if PurePosixPath(image_stem(str(file))).parts[-len(parts) :] == parts
    ]
    return exact or candidates


def find_file(names: Sequence[str], files: Iterable[PurePosixPath], folder: Path) -> Path:
    """Find the only file with the first of several names that occurs, in any subfolder.

    Args:
        names: possible names, tried in order; a name may include folders to tell two files apart.
        files: relative paths, from `list_files`.
        folder: the folder that contains them.

    Raises:
        DataError: there is no such file, or more than one.
    """
    files = list(files)
    for name in names:
        parts = PurePosixPath(name).parts
        matches = [file for file in files if file.parts[-len(parts) :] == parts]
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
