"""Which file an image is: the one rule by which the names, paths and files of images are matched.

An image is its path below the folder. A name with fewer folders, another suffix or another spelling is a fallback
where it fits one image alone. docs/reference/layouts.md has the rule for users.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import PurePosixPath

from galr.data.find_images import (
    IMAGE_SUFFIXES,
    clean_path,
    fold_path,
    image_stem,
    split_suffix,
)


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
    folder may be another where that fits one file and no folder is called as the one that the path gives.

    Args:
        files: relative paths of files; those that are no images are left out.
    """

    def __init__(self, files: Iterable[PurePosixPath]) -> None:
        self.files = tuple(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)

    def find(self, path: str) -> ImageMatch:
        """Find the files that a path may mean: one, none, or several that fit equally."""
        rows, grade = _search(self._exact, clean_path(path))
        if grade is not Grade.PATH:
            folded, folded_grade = _search(self._folded, fold_path(path))
            if not rows:
                rows, grade = folded, min(folded_grade, Grade.SPELLING)
            elif folded_grade is Grade.PATH and not set(rows) <= set(folded):
                rows = list(dict.fromkeys(rows + folded))
        return ImageMatch(tuple(self.files[row] for row in rows), grade)

    def near(self, path: str) -> PurePosixPath | None:
        """Find a file whose name resembles that of a path, for a message."""
        name = fold_path(path).rpartition("/")[2]
        if name in self._by_folded_name:
            return self._by_folded_name[name]
        similar = difflib.get_close_matches(name, self._by_folded_name, n=1, cutoff=0.8)
        return self._by_folded_name[similar[0]] if similar else None

    @cached_property
    def _exact(self) -> "PathIndex":
        return PathIndex(clean_path(str(file)) for file in self.files)

    @cached_property
    def _folded(self) -> "PathIndex":
        return PathIndex(fold_path(str(file)) for file in self.files)

    @cached_property
    def _by_folded_name(self) -> dict[str, PurePosixPath]:
        return {fold_path(file.name): file for file in self.files}


class ImageNames:
    """The names of a dataset's images, found by what other tools call the images.

    A name is found whole, with a suffix, or with more or fewer folders; then without regard to case, or with %20 for a
    space. A folder that is given must agree, and so must a suffix that is part of a name (see `name_images`).

    Args:
        names: the names; unique.
        files: the images' paths below the dataset's folder, in the same order, for what no name fits.
    """

    def __init__(self, names: Sequence[str], files: Sequence[str] = ()) -> None:
        self._names = names
        self._files = files
        self._index_of = {name: index for index, name in enumerate(names)}

    def find(self, name: str) -> list[int]:
        """Find the images that a name may mean, by index: one, none, or several that fit equally."""
        if name in self._index_of:
            return [self._index_of[name]]
        for spelt, indices in ((clean_path, self._exact), (fold_path, self._folded)):
            path = spelt(name)
            suffix = split_suffix(path)[1].lower()
            for index in indices:
                rows = index.find(path)[0] or index.find_whole_in(path)
                images = [row for row in rows if self._may_end_in(suffix, row)]
                if images:
                    return images
        return []

    def _may_end_in(self, suffix: str, image: int) -> bool:
        """Whether an image may have this suffix: a name of its own with a suffix has no other."""
        own = split_suffix(self._names[image])[1].lower()
        return not suffix or not own or suffix == own

    @cached_property
    def _exact(self) -> "tuple[PathIndex, PathIndex]":
        return PathIndex(map(clean_path, self._names)), PathIndex(map(clean_path, self._files))

    @cached_property
    def _folded(self) -> "tuple[PathIndex, PathIndex]":
        return PathIndex(map(fold_path, self._names)), PathIndex(map(fold_path, self._files))


class PathIndex:
    """Find paths by their last parts; a suffix decides only where the rest fits several.

    Args:
        paths: in one spelling, such as that of `clean_path`.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._stems: list[str] = []
        self._suffixes: list[str] = []
        self._by_stem: dict[str, list[int]] = {}
        self._by_tail: dict[str, list[int]] = {}
        self._folders: set[str] = set()
        for row, path in enumerate(paths):
            stem, suffix = split_suffix(path)
            self._stems.append(stem)
            self._suffixes.append(suffix)
            tails = _tails(stem)
            self._by_stem.setdefault(tails[0], []).append(row)
            for tail in tails:
                self._by_tail.setdefault(tail, []).append(row)
            self._folders.update(tails[0].split("/")[:-1])

    def find(self, path: str) -> tuple[list[int], Grade]:
        """Find the paths that end in a path, suffixes aside; of several, those that agree more."""
        stem, suffix = split_suffix(path)
        tail = _tails(stem)[0]
        rows = self._by_tail.get(tail, [])
        same = self._with_suffix(rows, suffix)
        grade = Grade.PATH if same or not suffix else Grade.SUFFIX
        return self._narrowed(same or rows, tail), grade

    def find_by_tail(self, path: str) -> list[int]:
        """Find the paths that agree with a path in the most of its last parts, suffixes aside.

        The folder of the path's file must be above them where any of the paths has a folder of that name.
        """
        stem, suffix = split_suffix(path)
        tails = _tails(stem)
        rows = self._first(self._by_tail, tails, suffix)
        folder = tails[-2].split("/")[0] if len(tails) > 1 else ""
        if folder in self._folders:
            rows = [row for row in rows if f"/{folder}/" in f"/{self._stems[row]}"]
        return rows

    def find_whole_in(self, path: str) -> list[int]:
        """Find the longest paths that a path ends in, suffixes aside."""
        stem, suffix = split_suffix(path)
        return self._first(self._by_stem, _tails(stem), suffix)

    def _first(self, table: dict[str, list[int]], tails: Sequence[str], suffix: str) -> list[int]:
        """Return what a table has for the first tail that it has."""
        rows = next((table[tail] for tail in tails if tail in table), [])
        return self._with_suffix(rows, suffix) or rows

    def _with_suffix(self, rows: Sequence[int], suffix: str) -> list[int]:
        """Keep the paths with a suffix, in its own case if any has it so."""
        exact = [row for row in rows if self._suffixes[row] == suffix]
        return exact or [row for row in rows if self._suffixes[row].lower() == suffix.lower()]

    def _narrowed(self, rows: list[int], stem: str) -> list[int]:
        """Keep the paths that have no further folders, if there are any."""
        whole = set(self._by_stem.get(stem, ())) if len(rows) > 1 else set()
        return [row for row in rows if row in whole] or rows


def _tails(path: str) -> list[str]:
    """List the ends of a path from the whole to its last part, without `/` and `..` before it."""
    parts = path.strip("/").split("/")
    while len(parts) > 1 and parts[0] == "..":
        del parts[0]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _search(index: PathIndex, path: str) -> tuple[list[int], Grade]:
    """Find the files that a path may mean in one spelling."""
    rows, grade = index.find(path)
    if not rows:
        rows = index.find_by_tail(path)
        grade = Grade.FOLDER if rows else Grade.NONE
    return rows, grade
