"""Parts of large JSON texts and of zip archives: found without reading the rest, in bounded memory and time."""

from __future__ import annotations

import json
import mmap
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa  # type: ignore[import-untyped]
from pydantic_core import from_json

#: Bytes of one part, unpacked; a larger one is refused.
LARGEST_PART = 2**29
#: Values (numbers, texts, lists, objects) in one part; a part with more is refused before it is parsed.
MOST_VALUES = 5_000_000
#: Levels of lists and objects within each other.
DEEPEST = 500
#: How many times larger than in its archive a part may be, once it is larger than `SMALL`: repetitive logs shrink a
#: hundredfold, and what is made to fill a memory a thousandfold.
MOST_UNPACKED = 500
SMALL = 2**24

# Possessive, so that the engine keeps no way back: memory stays flat over gigabytes, and time linear.
_QUOTED = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT = rb'[^"\[\]{}]*+(?:' + _QUOTED + rb'[^"\[\]{}]*+)*+'
_TEXT = re.compile(_QUOTED, re.DOTALL)
# Lists and objects that hold no others are passed in one step.
_TO_BRACKET = re.compile(
    _FLAT + rb"(?:(?:\{" + _FLAT + rb"\}|\[" + _FLAT + rb"\])" + _FLAT + rb")*+([\[\]{}])", re.DOTALL
)
_SCALAR = re.compile(rb"[^\s,\[\]{}\"]++")
_BLANK = re.compile(rb"[ \t\r\n]*+")
_OPEN = frozenset(b"[{")

Buffer = bytes | mmap.mmap


class PartError(ValueError):
    """A text or archive that is damaged, or too large to be what it says; the message says what is wrong."""


# --- JSON ---------------------------------------------------------------------------------------------------


def parse(text: bytes) -> Any:
    """Return the value of a JSON text.

    Parameters
    ----------
    text : bytes
        UTF-8; NaN and infinities are numbers.

    Raises
    ------
    PartError
        If it is no JSON, or holds more than `MOST_VALUES` values.
    """
    if len(text) > LARGEST_PART:
        raise PartError(f"a part of {len(text):,} bytes; allowed: at most {LARGEST_PART:,}")
    if len(text) > MOST_VALUES and sum(text.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:
        raise PartError(f"a part of more than {MOST_VALUES:,} values")
    try:
        return from_json(text)
    except ValueError as error:
        try:
            # It takes what some writers leave behind: halves of surrogate pairs.
            return json.loads(text)
        except (ValueError, RecursionError):
            raise PartError(f"no JSON: {error}") from None


def fields(text: Buffer, start: int = 0, into: str = "") -> Iterator[tuple[str, int, int]]:
    """Find the fields of a JSON object without parsing their values.

    Parameters
    ----------
    text : bytes or mmap.mmap
    start : int
        Where the object, or blank space before it, begins.
    into : str
        Name of a field whose value, if it is a list, is found element by element: a list may be longer than a value.

    Yields
    ------
    tuple of (str, int, int)
        Name, and where its value begins and ends.

    Raises
    ------
    PartError
        If the text is no object or ends before the object does.
    """
    place = _blank(text, start)
    if text[place : place + 1] != b"{":
        raise PartError(f"no JSON object: it begins with {_shown(text, place)}")
    place = _blank(text, place + 1)
    if text[place : place + 1] == b"}":
        return
    while True:
        found = _TEXT.match(text, place)
        if found is None:
            raise PartError(f"cut or damaged at byte {place:,}: {_shown(text, place)} where a name must be")
        name = parse(found.group())
        place = _blank(text, found.end())
        if text[place : place + 1] != b":":
            raise PartError(f"cut or damaged at byte {place:,}: {_shown(text, place)} where ':' must be")
        place = _blank(text, place + 1)
        if into and name == into and text[place : place + 1] == b"[":
            end = place
            for first, end in _elements(text, place):
                yield name, first, end
            end = text.find(b"]", end) + 1
        else:
            end = _end(text, place)
            yield name, place, end
        place = _blank(text, end)
        mark = text[place : place + 1]
        if mark == b"}":
            return
        if mark != b",":
            raise PartError(f"cut or damaged at byte {place:,}: {_shown(text, place)} where ',' or '}}' must be")
        place = _blank(text, place + 1)


def parse_fields(text: bytes, wanted: frozenset[str]) -> Any:
    """Return a JSON object, of a large one its wanted fields only.

    Parameters
    ----------
    text : bytes
    wanted : frozenset of str
        Names of fields.
    """
    if len(text) <= SMALL // 4:
        return parse(text)
    return {name: parse(text[start:end]) for name, start, end in fields(text) if name in wanted}


def _elements(text: Buffer, start: int) -> Iterator[tuple[int, int]]:
    """Find where each element of a JSON list begins and ends."""
    place = _blank(text, start + 1)
    if text[place : place + 1] == b"]":
        return
    while True:
        end = _end(text, place)
        yield place, end
        place = _blank(text, end)
        mark = text[place : place + 1]
        if mark == b"]":
            return
        if mark != b",":
            raise PartError(f"cut or damaged at byte {place:,}: {_shown(text, place)} where ',' or ']' must be")
        place = _blank(text, place + 1)


def _blank(text: Buffer, place: int) -> int:
    found = _BLANK.match(text, place)
    return found.end() if found else place


def _end(text: Buffer, place: int) -> int:
    """Return where the value that begins at a place ends."""
    first = text[place : place + 1]
    if first not in (b"[", b"{"):
        found = (_TEXT if first == b'"' else _SCALAR).match(text, place)
        if found is None:
            raise PartError(f"cut or damaged at byte {place:,}: {_shown(text, place)} where a value must be")
        return found.end()
    depth, brackets = 1, 0
    here = place + 1
    while True:
        found = _TO_BRACKET.match(text, here)
        if found is None:
            raise PartError(f"cut or damaged: the value that begins at byte {place:,} does not end")
        here = found.end()
        brackets += 1
        if text[here - 1] in _OPEN:
            depth += 1
            if depth > DEEPEST:
                raise PartError(f"more than {DEEPEST} levels of lists and objects at byte {here:,}")
        else:
            depth -= 1
            if not depth:
                return here
        if brackets > MOST_VALUES:
            raise PartError(f"a part of more than {MOST_VALUES:,} values at byte {place:,}")


def _shown(text: Buffer, place: int) -> str:
    piece = bytes(text[place : place + 12])
    return repr(piece.decode("utf-8", errors="replace")) if piece else "the end"


# --- archives -----------------------------------------------------------------------------------------------


class Archive:
    """A zip archive whose members are read whole, one after the other.

    The standard library cannot unpack Zstandard (method 93) before Python 3.14, and takes ten times as long to open a
    member as a small one takes to unpack.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    PartError
        If it is no archive, is cut, or its members lie over each other.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        try:
            with zipfile.ZipFile(self._file) as archive:
                # A member that was written twice counts once, as it was written last.
                self.members = dict(archive.NameToInfo)
        except (zipfile.BadZipFile, ValueError, struct.error, OverflowError, NotImplementedError, EOFError) as error:
            self._file.close()
            raise PartError(f"a cut or damaged archive: {error}") from None
        except BaseException:
            self._file.close()
            raise
        self._size = path.stat().st_size
        if sum(member.compress_size for member in self.members.values()) > self._size:
            self._file.close()
            raise PartError("an archive whose members together are larger than it is")

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, name: str) -> bytes:
        """Return a member's content.

        Raises
        ------
        PartError
            If it is damaged, encrypted, packed by another method than deflate or Zstandard, or unreasonably large.
        """
        member = self.members[name]
        packed, size = member.compress_size, member.file_size
        if size > LARGEST_PART or (size > SMALL and size > MOST_UNPACKED * packed):
            raise PartError(f"member {name!r} unpacks to {size:,} bytes from {packed:,}; no log does")
        if member.flag_bits & 0x1:
            raise PartError(f"member {name!r} is encrypted")
        self._file.seek(member.header_offset)
        head = self._file.read(30)
        if len(head) < 30 or head[:4] != b"PK\3\4":
            raise PartError(f"member {name!r} is not where the archive says")
        self._file.seek(sum(struct.unpack("<HH", head[26:30])), 1)
        content = self._file.read(packed)
        try:
            if member.compress_type == zipfile.ZIP_DEFLATED:
                content = zlib.decompressobj(-15).decompress(content, size + 1)
            elif member.compress_type == 93:
                content = pa.Codec("zstd").decompress(content, size, asbytes=True) if size else b""
            elif member.compress_type != zipfile.ZIP_STORED:
                raise PartError(f"member {name!r} is packed by method {member.compress_type}")
        except (zlib.error, pa.ArrowException, OSError) as error:
            raise PartError(f"member {name!r} is damaged: {error}") from None
        if len(content) != size or zlib.crc32(content) != member.CRC:
            raise PartError(f"member {name!r} is cut or damaged")
        return content


def first_member(head: bytes) -> str:
    """Return the name of the first member of an archive, from its first bytes, or an empty string."""
    if len(head) < 30 or head[:4] != b"PK\3\4":
        return ""
    (length,) = struct.unpack("<H", head[26:28])
    return head[30 : 30 + length].decode("utf-8", errors="replace")
