"""What lies below a dataset's folder, found though mirrors differ in folders and suffixes."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from galr.errors import DataError
from galr.targets import make_hint

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})


def list_files(folder: Path) -> list[PurePosixPath]:
    """List every file below a folder, links followed, sorted, relative to it.

    Raises:
        DataError: the folder is not there, or a name in it is no text.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is no folder; correct the dataset file, or {make_hint(folder, 'galr extract')}"
        )
    found = []
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        # A link to a folder that was walked before would go round for ever.
        folders[:] = [each for each in folders if os.path.realpath(f"{place}/{each}") not in seen]
        below = PurePosixPath(place).relative_to(PurePosixPath(folder))
        found += [below / name for name in names]
    for file in found:
        if re.search("[\ud800-\udfff]", str(file)):  # Python's spelling of bytes that are no UTF-8
            raise DataError(f"{folder} holds a file whose name is no UTF-8, {file}; rename it")
    return sorted(found)


def image_stem(name: str) -> str:
    """Strip a picture's suffix off its name or path, and nothing else.

    `a.v2` stays, `a.v2.TIF` becomes `a.v2`, a name of blanks becomes empty. Accents are composed,
    because some file systems store them apart; Windows' backslashes become slashes.
    """
    path = PurePosixPath(unicodedata.normalize("NFC", name.strip().replace("\\", "/")))
    if not path.name:
        return ""
    return str(path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path)


def images_by_stem(files: Iterable[PurePosixPath]) -> dict[str, list[PurePosixPath]]:
    """Gather the pictures among files under the last part of their stem."""
    found: dict[str, list[PurePosixPath]] = {}
    for file in files:
        if file.suffix.lower() in IMAGE_SUFFIXES:
            found.setdefault(image_stem(file.name), []).append(file)
    return found


def match_image(
    name: str, images: Mapping[str, Sequence[PurePosixPath]]
) -> Sequence[PurePosixPath]:
    """Find the pictures that an image's name may mean.

    Args:
        name: an image's stem, with the folders that the dataset gave it, if any.
        pictures: from `pictures_by_stem`.

    Returns:
        The pictures of that stem; where some lie in the very folders of the name, only those.
    """
    wanted = PurePosixPath(name).parts
    found = images.get(wanted[-1], ())
    exact = [
        file
        for file in found
        if PurePosixPath(image_stem(str(file))).parts[-len(wanted) :] == wanted
    ]
    return exact or found


def find_file(names: Sequence[str], files: Iterable[PurePosixPath], folder: Path) -> Path:
    """Find the one file of the first name that occurs, in any folder.

    Args:
        names: possible names, tried in order; a name may carry folders to tell two files apart.
        files: from `files_below`.
        folder: what they lie below.

    Raises:
        DataError: there is none, or more than one.
    """
    files = list(files)
    for name in names:
        wanted = PurePosixPath(name).parts
        found = [file for file in files if file.parts[-len(wanted) :] == wanted]
        if len(found) > 1:
            raise DataError(
                f"{folder} holds {len(found)} files called {name} ({found[0]}, {found[1]});"
                " name the folder too in the dataset file's layout"
            )
        if found:
            return folder / found[0]
    raise DataError(
        f"{folder} holds no {' or '.join(names)} among its {len(files)} files;"
        " correct the dataset file's layout"
    )
