"""Which file an image is: the one rule by which names, paths and files are matched.

An image is its path below the folder. A name with fewer folders, another suffix or another spelling is a fallback
where it fits one image alone. docs/tutorials/own-data.md has the rule for users.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path, PurePosixPath

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
    return _split_suffix(clean_path(name))[0]


def is_companion(path: PurePosixPath) -> bool:
    """Whether a file only accompanies another, as `__MACOSX/._a.jpg` and `._a.jpg` do."""
    return not COMPANION_FOLDERS.isdisjoint(path.parts) or path.name.startswith(COMPANION_PREFIX)


def name_images(paths: Sequence[str], names: Sequence[str] | None = None) -> list[str]:
    """Name images: by the stem, or by the path with its suffix where several images have one stem.

    Args:
        paths: the images' paths; equal paths are one image.
        names: the names to prefer, one for each path; by default the paths' stems.
    """
    preferred = list(names) if names is not None else [image_stem(path) for path in paths]
    paths_of: dict[str, set[str]] = {}
    for path, name in zip(paths, preferred, strict=True):
        paths_of.setdefault(name, set()).add(path)
    return [
        name if len(paths_of[name]) == 1 else path
        for path, name in zip(paths, preferred, strict=True)
    ]


class Grade(IntEnum):
    """How well a name fits an image."""

    NONE = 0
    SPELLING = 1  # without regard to case, or with %20 for a space
    FOLDER = 2  # some of the folders agree, or none
    SUFFIX = 3  # the folders agree, the suffix is another
    PATH = 4  # whatever the name gives agrees


@dataclass(frozen=True)
class ImageMatch:
    """The files that a name may mean, and how well it fits them; one file is the image."""

    files: tuple[PurePosixPath, ...]
    grade: Grade


class ImageFiles:
    """The image files of a folder, found by the paths that annotations give.

    Mirrors convert images and call folders otherwise, so a suffix may be another where the rest fits one file, and a
    folder may be another where the folder that the path gives does not exist.

    Args:
        files: relative paths of files; those that are no images are left out.
    """

    def __init__(self, files: Iterable[PurePosixPath]) -> None:
        self.files = tuple(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)

    def find(self, path: str) -> ImageMatch:
        """Find the files that a path may mean: one, none, or several that fit equally."""
        for index, spelt in ((self._exact, clean_path), (self._folded, _fold)):
            rows, grade = index.find(spelt(path))
            if not rows and not index.has_folder_of(spelt(path)):
                rows, grade = index.find_by_tail(spelt(path)), Grade.FOLDER
            if rows:
                grade = grade if index is self._exact else Grade.SPELLING
                return ImageMatch(tuple(self.files[row] for row in rows), grade)
        return ImageMatch((), Grade.NONE)

    def near(self, path: str) -> PurePosixPath | None:
        """Find a file whose name resembles that of a path, for a message."""
        name = _fold(path).rpartition("/")[2]
        if name in self._by_folded_name:
            return self._by_folded_name[name]
        similar = difflib.get_close_matches(name, self._by_folded_name, n=1, cutoff=0.8)
        return self._by_folded_name[similar[0]] if similar else None

    @cached_property
    def _exact(self) -> "PathIndex":
        return PathIndex(clean_path(str(file)) for file in self.files)

    @cached_property
    def _folded(self) -> "PathIndex":
        return PathIndex(_fold(str(file)) for file in self.files)

    @cached_property
    def _by_folded_name(self) -> dict[str, PurePosixPath]:
        return {_fold(file.name): file for file in self.files}


class ImageNames:
    """The names of a dataset's images, found by what other tools call the images.

    A name is found whole, with a suffix, or with more or fewer folders; then without regard to case, or with %20 for a
    space. A folder that is given must agree, and so must a suffix that is part of a name (see `name_images`).

    Args:
        names: the names; unique.
        files: the images' paths below the dataset's folder, which are names too.
    """

    def __init__(self, names: Sequence[str], files: Sequence[str] = ()) -> None:
        self._names = names
        self._keys = [*names, *files]
        self._index_of = {name: index for index, name in enumerate(names)}

    def find(self, name: str) -> list[int]:
        """Find the images that a name may mean, by index: one, none, or several that fit equally."""
        if name in self._index_of:
            return [self._index_of[name]]
        for index, spelt in ((self._exact, clean_path), (self._folded, _fold)):
            path = spelt(name)
            rows, _ = index.find(path)
            rows = rows or index.find_whole_in(path)
            suffix = _split_suffix(path)[1].lower()
            images = dict.fromkeys(
                row % len(self._names) for row in rows if self._may_end_in(suffix, row)
            )
            if images:
                return list(images)
        return []

    def _may_end_in(self, suffix: str, row: int) -> bool:
        """Whether an image may have this suffix: a name of its own with a suffix has no other."""
        own = _split_suffix(self._names[row % len(self._names)])[1].lower()
        return not suffix or not own or suffix == own

    @cached_property
    def _exact(self) -> "PathIndex":
        return PathIndex(map(clean_path, self._keys))

    @cached_property
    def _folded(self) -> "PathIndex":
        return PathIndex(map(_fold, self._keys))


class PathIndex:
    """Find paths by their last parts; a suffix decides only where the rest fits several.

    Args:
        paths: in one spelling, such as that of `clean_path`.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._suffixes: list[str] = []
        self._by_stem: dict[str, list[int]] = {}
        self._by_tail: dict[str, list[int]] = {}
        self._folders: set[str] = set()
        for row, path in enumerate(paths):
            stem, suffix = _split_suffix(path)
            self._suffixes.append(suffix)
            tails = _tails(stem)
            self._by_stem.setdefault(tails[0], []).append(row)
            for tail in tails:
                self._by_tail.setdefault(tail, []).append(row)
            self._folders.update(tails[0].split("/")[:-1])

    def find(self, path: str) -> tuple[list[int], Grade]:
        """Find the paths that end in a path, suffixes aside; of several, those that agree more."""
        stem, suffix = _split_suffix(path)
        tail = _tails(stem)[0]
        rows = self._by_tail.get(tail, [])
        same = self._with_suffix(rows, suffix)
        grade = Grade.PATH if same or not suffix else Grade.SUFFIX
        return self._narrowed(same or rows, tail), grade

    def find_by_tail(self, path: str) -> list[int]:
        """Find the paths that agree with a path in the most of its last parts, suffixes aside."""
        stem, suffix = _split_suffix(path)
        return self._first(self._by_tail, stem, suffix)

    def find_whole_in(self, path: str) -> list[int]:
        """Find the longest paths that a path ends in, suffixes aside."""
        stem, suffix = _split_suffix(path)
        return self._first(self._by_stem, stem, suffix)

    def has_folder_of(self, path: str) -> bool:
        """Whether a folder of any of the paths is called as the one that a path's file is in."""
        parts = _tails(path)[0].split("/")
        return len(parts) > 1 and parts[-2] in self._folders

    def _first(self, table: dict[str, list[int]], stem: str, suffix: str) -> list[int]:
        """Return what a table has for the longest end of a stem that it has."""
        rows = next((table[tail] for tail in _tails(stem) if tail in table), [])
        return self._with_suffix(rows, suffix) or rows

    def _with_suffix(self, rows: Sequence[int], suffix: str) -> list[int]:
        """Keep the paths with a suffix, in its own case if any has it so."""
        exact = [row for row in rows if self._suffixes[row] == suffix]
        return exact or [row for row in rows if self._suffixes[row].lower() == suffix.lower()]

    def _narrowed(self, rows: list[int], stem: str) -> list[int]:
        """Keep the paths that have no further folders, if there are any."""
        whole = set(self._by_stem.get(stem, ())) if len(rows) > 1 else set()
        return [row for row in rows if row in whole] or rows


def _split_suffix(path: str) -> tuple[str, str]:
    """Split the suffix of an image off a path; it is empty if there is none."""
    stem, dot, suffix = path.rpartition(".")
    if stem and not stem.endswith("/") and f".{suffix.lower()}" in IMAGE_SUFFIXES:
        return stem, dot + suffix
    return path, ""


def _tails(path: str) -> list[str]:
    """List the ends of a path from the whole to its last part, without `/` and `..` before it."""
    parts = path.strip("/").split("/")
    while len(parts) > 1 and parts[0] == "..":
        del parts[0]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _fold(path: str) -> str:
    """Write a path without regard to case, and with characters where it has %20."""
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
    spellings: tuple[Callable[[str], str], ...] = (clean_path, _fold)
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
        return [find_file([name], files, folder).relative_to(folder)]
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
