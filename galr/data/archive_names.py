"""The names of the files in an archive, where the archive does not say in which encoding they are.

Zips of 7-Zip, Windows and macOS hold names in UTF-8 or in the system's own encoding (GBK in China) without the flag
that says so; tars never say it. All such names of an archive are read in one encoding, the first of:

1. UTF-8, if all of them are valid in it;
2. the encoding in which the dataset's text files name the most of them;
3. GBK, if all of them are Chinese in it;
4. cp437 in a zip, as its format says; Latin-1 in a tar.

A name that the zip also holds in UTF-8 (Info-ZIP's "Unicode Path" field) is that one.
"""

import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from galr.data.find_images import image_stem

UTF8_FLAG = 0x800  # of a zip's entry
UNICODE_PATH = 0x7075  # id of Info-ZIP's field: version 1, CRC-32 of the name, the name in UTF-8
REGIONAL = ("gbk", "big5", "cp932", "cp949", "cp1251", "cp1252", "cp866", "cp850", "cp437")
LISTING_SUFFIXES = (".json", ".txt", ".csv", ".tsv", ".jsonl")
MAX_LISTING = 1 << 26  # bytes of a text file that are searched for names
MAX_SAMPLE = 50  # parts of names that are looked for


@dataclass
class ArchiveNames:
    """Reads the names of the files in the archives of a dataset.

    Attributes:
        archives: all archives and plain files of the dataset; its text files tell encodings apart.
        notes: a line about each archive whose names had no encoding.
    """

    archives: Sequence[Path]
    notes: list[str] = field(default_factory=list)

    def of_zip(self, entries: Sequence[zipfile.ZipInfo], archive: Path) -> list[str]:
        """Return the paths of a zip's entries, with slashes."""
        raw = {
            row: entry.orig_filename.encode("cp437")  # what zipfile read it as; no byte is lost
            for row, entry in enumerate(entries)
            if not entry.flag_bits & UTF8_FLAG and not entry.orig_filename.isascii()
        }
        names = [entry.filename for entry in entries]
        given = {row: _unicode_path(entries[row].extra, name) for row, name in raw.items()}
        unknown = [name for row, name in raw.items() if given[row] is None]
        encoding = self._choose(unknown, archive, "cp437") if unknown else "utf-8"
        for row, name in raw.items():
            names[row] = (given[row] or name.decode(encoding)).split("\0")[0]
        return [name.replace("\\", "/") for name in names]

    def of_tar(self, archive: Path) -> str:
        """Return the encoding of the names in a tar; the whole archive is read for it."""
        with tarfile.open(archive, "r:*") as tarred:
            raw = [tar_bytes(entry.name) for entry in tarred if lacks_encoding(entry)]
        return "utf-8" if _decodes(raw, "utf-8") else self._choose(raw, archive, "latin-1")

    def _choose(self, names: Sequence[bytes], archive: Path, fallback: str) -> str:
        """Choose the encoding of some names, and note it."""
        encoding, reason = self._encoding(names, fallback)
        self.notes.append(
            f"{archive.name}: the archive does not say in which encoding its {len(names)} names beyond ASCII are;"
            f" read as {encoding}, {reason}"
        )
        return encoding

    def _encoding(self, names: Sequence[bytes], fallback: str) -> tuple[str, str]:
        """Return the encoding of some names, and why it is that."""
        if _decodes(names, "utf-8"):
            return "utf-8", "in which all are valid"
        parts = dict.fromkeys(
            part for name in names for part in name.split(b"/") if not part.isascii()
        )
        sample = list(parts)[:MAX_SAMPLE]
        hits = {
            encoding: sum(self._is_listed(part.decode(encoding)) for part in sample)
            for encoding in REGIONAL
            if _decodes(names, encoding)
        }
        best = max(hits, key=lambda encoding: hits[encoding], default=fallback)
        if hits.get(best):
            return best, "in which the dataset's text files name them"
        if _are_chinese(names):
            return "gbk", "in which all are Chinese"
        return fallback, "for want of a sign; if names are wrong, pack the archive again in UTF-8"

    def _is_listed(self, name: str) -> bool:
        """Whether a text file of the dataset has a name, as it is or with JSON's escapes."""
        stem = image_stem(name.replace("\\", "")).lower()
        escaped = json.dumps(stem)[1:-1]
        return any(stem in text or escaped in text for text in self._listings)

    @cached_property
    def _listings(self) -> list[str]:
        return [text.lower() for archive in self.archives for text in _read_listings(archive)]


def _read_listings(archive: Path) -> Iterator[str]:
    """Read the text files of an archive, or a plain text file; what cannot be read is left out."""
    try:
        if archive.suffix.lower() == ".zip":
            with zipfile.ZipFile(archive) as zipped:
                for entry in zipped.infolist():
                    if entry.filename.lower().endswith(LISTING_SUFFIXES):
                        yield _as_text(zipped.open(entry).read(MAX_LISTING))
        elif archive.suffix.lower() in LISTING_SUFFIXES:
            with archive.open("rb") as plain:
                yield _as_text(plain.read(MAX_LISTING))
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive, "r:*") as tarred:
                for member in tarred:
                    if member.isfile() and member.name.lower().endswith(LISTING_SUFFIXES):
                        content = tarred.extractfile(member)
                        yield _as_text(content.read(MAX_LISTING) if content else b"")
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error):
        return  # extracting it will say what is wrong
    except (zipfile.BadZipFile, tarfile.TarError):
        return


def _as_text(content: bytes) -> str:
    """Decode a text file; the bytes that are no UTF-8 are left out."""
    return content.decode("utf-8-sig", "ignore")


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in the Unicode Path field of a zip's entry; None if there is none for this name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        value, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and value[:5] == struct.pack("<BL", 1, zlib.crc32(raw)):
            try:
                return value[5:].decode("utf-8")
            except UnicodeDecodeError:
                return None
    return None


def lacks_encoding(entry: tarfile.TarInfo) -> bool:
    """Whether the name of a tar's entry is beyond ASCII, and not in a PAX header, which is UTF-8."""
    return not entry.name.isascii() and "path" not in entry.pax_headers


def tar_bytes(name: str) -> bytes:
    """Return the bytes of a name that tarfile read as UTF-8, escaping those that are not."""
    return name.encode("utf-8", "surrogateescape")


def _decodes(names: Iterable[bytes], encoding: str) -> bool:
    """Whether names are valid in an encoding."""
    try:
        for name in names:
            name.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _are_chinese(names: Sequence[bytes]) -> bool:
    """Whether names in GBK have no characters beyond ASCII but Chinese ones, most of them in common use (GB 2312).

    Bytes of Western names also make GBK characters, é and a letter for one; those are rare ones.
    """
    if not _decodes(names, "gbk"):
        return False
    characters = [c for name in names for c in name.decode("gbk") if not c.isascii()]
    common = sum(bool(c.encode("gb2312", "ignore")) for c in characters)
    return all(map(_is_chinese, characters)) and 2 * common > len(characters)


def _is_chinese(character: str) -> bool:
    """Whether a character is a Chinese one, or punctuation, a letter or a digit of full width."""
    return (
        "\u3000" <= character <= "\u303f"
        or "\u4e00" <= character <= "\u9fff"
        or "\uff00" <= character <= "\uffef"
    )
