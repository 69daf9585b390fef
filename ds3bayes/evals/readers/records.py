"""Files of records, one per attempt: found by content, decompressed and parsed within bounds."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import json
import os
import re
import reprlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from ds3bayes.errors import InputError

#: Bytes that a file may hold once decompressed.
LARGEST_FILE = 2 * 2**30
#: Bytes of a file that is parsed as a whole (a JSON document, a spreadsheet).
LARGEST_DOCUMENT = 512 * 2**20
#: Bytes of one record (a line of JSONL, a cell of a table).
LARGEST_RECORD = 64 * 2**20
#: A compressed file that holds more than this may be at most this many times as large as it is compressed.
SUSPECT_SIZE, SUSPECT_RATIO = 64 * 2**20, 250
#: Records that a file may hold, and columns.
MOST_RECORDS, MOST_COLUMNS = 20_000_000, 10_000
#: Files that a folder of logs may hold.
MOST_FILES = 100_000
#: Bytes that some rows of Parquet may come to, and cells that a spreadsheet may hold.
LARGEST_BATCH, MOST_CELLS = 2**30, 20_000_000
#: Levels of objects in objects that become columns.
DEPTH = 5
#: What is looked at to find out what a file is: bytes, and records.
HEAD, FIRST = 64 * 2**10, 20

_SHORT = reprlib.Repr(maxlevel=3, maxdict=8, maxlist=8, maxtuple=8, maxset=8, maxstring=80, maxother=80)

DELIMITERS = ",;\t|^~"
_GZIP, _ZSTD, _ZIP, _PARQUET, _OLD_EXCEL = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0"
#: Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

#: Types that hold nothing, as most values are of them.
_PLAIN = frozenset({str, int, float, bool, type(None)})

Record = Mapping[str, Any]


@dataclass(kw_only=True)
class Records:
    """Records of one source, read once.

    Parameters
    ----------
    where : str
        The source, for messages.
    kind : {"csv", "jsonl", "json", "parquet", "excel", "rows", "frame"}
    rows : iterable of (int, mapping, bytes or None)
        Number of the record in its source (as its owner counts), the record, and its raw bytes where there are.
    unit : str
        What is counted: "line" or "row".
    notes : list of str
        How the file was understood.
    libraries : tuple of str
        What read it, beside the standard library and pandas.
    """

    where: str
    kind: str
    rows: Iterable[tuple[int, Record, bytes | None]]
    unit: str = "row"
    notes: list[str] = field(default_factory=list)
    libraries: tuple[str, ...] = ()


class Float(float):
    """A number of a JSON document that keeps how it was written: as an id, 1.10 is not 1.1."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Float:
        """Keep the text of a number."""
        number = super().__new__(cls, text)
        number.text = text
        return number


_DECODER = json.JSONDecoder(parse_float=Float)


# --- bytes --------------------------------------------------------------------------------------------------


class _Bounded(io.RawIOBase):
    """Bytes of a file that may be compressed; reading too many of them is an error."""

    def __init__(self, path: Path, inner: IO[bytes], compressed: bool, limit: int) -> None:
        self.path, self.inner, self.limit = path, inner, limit
        self.count = 0
        size = path.stat().st_size
        self.suspect = max(SUSPECT_SIZE, SUSPECT_RATIO * size) if compressed else limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.inner.read(len(buffer))
        buffer[: len(piece)] = piece
        self.count += len(piece)
        if self.count > self.limit:
            raise InputError(
                f"{self.path}: holds more than {self.limit / 2**20:,.0f} MiB; allowed: at most that. "
                "Cut it into several files, or leave out prompts and responses"
            )
        if self.count > self.suspect:
            raise InputError(
                f"{self.path}: decompresses to more than {SUSPECT_RATIO} times its size, as no honest log does. "
                "If it is one, decompress it first"
            )
        return len(piece)

    def close(self) -> None:
        self.inner.close()
        super().close()


def open_bytes(path: Path, limit: int = LARGEST_FILE) -> IO[bytes]:
    """Open a file that may be compressed by gzip or zstd, bounded in size."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(_GZIP):
        inner: Any = gzip.open(path, "rb")  # noqa: SIM115, it is closed with what wraps it
    elif magic == _ZSTD:
        inner = _zstd(path)
    else:
        inner = path.open("rb")
    return io.BufferedReader(_Bounded(path, inner, magic.startswith(_GZIP) or magic == _ZSTD, limit), 2**18)


def _check_bomb(path: Path) -> bytes:
    """Return how a file is compressed, after reading through it: its size shows sooner than its records."""
    with readable(path, "a file"):
        with path.open("rb") as file:
            magic = file.read(4)
        found = next((mark for mark in (_GZIP, _ZSTD) if magic.startswith(mark)), b"")
        if found:
            with open_bytes(path) as content:
                while content.read(2**20):
                    pass
        return found


def _zstd(path: Path) -> Any:
    try:
        import zstandard
    except ImportError:
        raise InputError(
            f"{path}: compressed by zstd, for which the package zstandard is needed: pip install 'ds3bayes[zstd]'"
        ) from None
    # A frame may ask for a window of gigabytes.
    decompressor = zstandard.ZstdDecompressor(max_window_size=2**27)
    return decompressor.stream_reader(path.open("rb"), read_across_frames=True)


#: What broken files raise in the libraries that read them.
_BROKEN: tuple[type[BaseException], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    zlib.error,
    csv.Error,
    pa.ArrowException,
    zipfile.BadZipFile,
)


@contextlib.contextmanager
def readable(where: object, what: str) -> Iterator[None]:
    """Turn what a broken file raises into one error that names it."""
    try:
        yield
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{where}: cannot be read as {what}: objects are nested too deeply") from None
    except _BROKEN as error:
        raise InputError(f"{where}: cannot be read as {what}: {_reason(error)}") from error
    except Exception as error:
        # Libraries have errors of their own, which are imported only where they are used.
        if type(error).__module__.split(".")[0] not in ("zstandard", "openpyxl", "yaml", "pyarrow", "xml", "pandas"):
            raise
        raise InputError(f"{where}: cannot be read as {what}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 200 else lines[0][:197] + "..."


def content_of(path: Path, limit: int = LARGEST_DOCUMENT) -> bytes:
    """Return all bytes of a file, decompressed."""
    with readable(path, "a file"), open_bytes(path, limit) as file:
        return file.read()


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed; empty if there is no such file or it cannot be read."""
    try:
        with open_bytes(path) as file:
            return file.read(HEAD)
    except Exception:
        return b""


# --- kinds --------------------------------------------------------------------------------------------------


def kind_of(path: Path) -> str:
    """Return what a file is by its content.

    Returns
    -------
    str
        "csv" (any text cut by a delimiter), "json", "jsonl", "parquet", "excel", "zip", "old excel", "empty" or
        "binary".
    """
    head = head_of(path)
    if head.startswith(_PARQUET):
        return "parquet"
    if head.startswith(_OLD_EXCEL):
        return "old excel"
    if head.startswith(_ZIP):
        try:
            with zipfile.ZipFile(path) as archive:
                return "excel" if "xl/workbook.xml" in archive.namelist() else "zip"
        except _BROKEN:
            return "zip"
    if not head.strip():
        return "empty"
    encoding = mark_of(head)
    if not encoding and b"\0" in head:
        # UTF-16 without a mark has one in every second place, which its own error names.
        return "csv" if _looks_utf16(head) else "binary"
    text = head.decode(encoding or "utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if text.startswith("["):
        return "json"
    if text.startswith("{"):
        first, _, rest = text.partition("\n")
        # One object on one line, then another: lines. An object over several lines: a document.
        lone = not rest.strip() and len(head) < HEAD
        return "json" if lone and _is_json(first) else "jsonl" if _is_json(first) or len(first) > HEAD // 2 else "json"
    return "csv"


def mark_of(head: bytes) -> str:
    """Return the encoding that a byte order mark names, or an empty string."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), "")


def _looks_utf16(head: bytes) -> bool:
    part = head[:4096]
    return max(part[0::2].count(0), part[1::2].count(0)) > 0.4 * len(part) / 2 and min(
        part[0::2].count(0), part[1::2].count(0)
    ) < 0.1 * len(part)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def encoding_of(path: Path) -> tuple[str, str]:
    """Return the encoding of a text file, and a note where it had to be inferred."""
    head = head_of(path)
    marked = mark_of(head)
    if marked:
        return marked, "" if marked == "utf-8-sig" else f"{path}: read as {marked.upper()}, as its mark says"
    if b"\0" in head:
        order = "utf-16-le" if head[1:4096:2].count(0) > head[0:4096:2].count(0) else "utf-16-be"
        raise InputError(
            f"{path}: looks like UTF-16 without a byte order mark, or like no text at all; allowed: UTF-8, UTF-16 with "
            f"a mark, cp1252. Pass encoding={order!r}, or save it as UTF-8"
        )
    with readable(path, "text"), open_bytes(path) as file:
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while piece := file.read(2**20):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252", f"{path}: no UTF-8; read as cp1252 (Western Windows). Pass encoding= if it is another"
    return "utf-8", ""


# --- records of each kind -----------------------------------------------------------------------------------


def records_of(
    source: object, *, encoding: str | None = None, delimiter: str | None = None, sheet: str | None = None
) -> Records:
    """Return the records of a file, a list of mappings or a frame.

    Parameters
    ----------
    source : path, pandas.DataFrame or iterable of mapping
    encoding : str, optional
        Of a text file; found where not given.
    delimiter : str, optional
        Of a table in text; found where not given.
    sheet : str, optional
        Of a spreadsheet with several.

    Returns
    -------
    Records
    """
    if isinstance(source, pd.DataFrame):
        names = [str(label) for label in source.columns]
        _distinct(names, "the DataFrame")
        columns = [source.iloc[:, index].astype(object) for index in range(len(names))]
        rows = zip(*columns, strict=True) if columns else iter(())
        return Records(where="the DataFrame", kind="frame", rows=_zipped(names, rows))
    if not isinstance(source, str | Path) and not hasattr(source, "__fspath__"):
        if not isinstance(source, Iterable) or isinstance(source, Mapping | bytes):
            raise InputError(f"attempts: got {type(source).__name__}; allowed: a path, a DataFrame or a list of dicts")
        return Records(where="the list", kind="rows", rows=_of_list(source, "the list"))
    path = Path(source)  # type: ignore[arg-type]
    if "\0" in str(path):
        raise InputError(f"{str(path)!r}: a path must not hold a NUL character")
    if not os.path.isfile(path):
        raise InputError(f"{path}: {'is a directory' if os.path.isdir(path) else 'no such file'}; a file is needed")
    libraries = ("zstandard",) if _check_bomb(path) == _ZSTD else ()
    kind = kind_of(path)
    if kind == "parquet":
        return Records(where=str(path), kind=kind, rows=_of_parquet(path), libraries=("pyarrow",))
    if kind == "excel":
        return Records(where=str(path), kind=kind, rows=_of_excel(path, sheet), libraries=("openpyxl",))
    if kind == "jsonl":
        return Records(where=str(path), kind=kind, rows=lines_of(path, encoding), unit="line", libraries=libraries)
    if kind == "json":
        return Records(where=str(path), kind=kind, rows=_of_list(document_of(path, encoding), str(path)), unit="record")
    if kind == "csv":
        notes: list[str] = []
        return Records(
            where=str(path),
            kind=kind,
            rows=_of_text(path, encoding, delimiter, notes),
            unit="line",
            notes=notes,
            libraries=libraries,
        )
    what = {
        "empty": "is empty",
        "zip": "is a zip archive",
        "old excel": "is an Excel file of before 2007: save it as .xlsx",
    }
    raise InputError(
        f"{path}: {what.get(kind, 'is no text')}; allowed: JSONL, a JSON list, CSV, Parquet or Excel (.xlsx), the "
        "first three also compressed by gzip or zstd"
    )


def _distinct(names: Sequence[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) != len(names) else []
    if twice:
        raise InputError(f"{where}: column {twice[0]!r} appears more than once; rename or remove one")


def _zipped(
    names: Sequence[str], rows: Iterable[Sequence[Any]], first: int = 1
) -> Iterator[tuple[int, Record, bytes | None]]:
    for number, row in enumerate(rows, first):
        yield number, dict(zip(names, row, strict=True)), None


def _of_list(source: Iterable[Any], where: str) -> Iterator[tuple[int, Record, bytes | None]]:
    if isinstance(source, Mapping):
        lists = [name for name, value in source.items() if isinstance(value, list) and value]
        if lists:
            raise InputError(
                f"{where}: holds one object; allowed: a list of objects, one per attempt. Its lists are: "
                f"{', '.join(repr(shown(name)) for name in lists[:10])}. Pass the one that holds the attempts"
            )
        yield 1, source, None
        return
    if not isinstance(source, Iterable) or isinstance(source, str):
        raise InputError(f"{where}: holds a {type(source).__name__}; allowed: a list of objects, one per attempt")
    for number, record in enumerate(source, 1):
        if not isinstance(record, Mapping):
            raise InputError(
                f"{where}: record {number} is a {type(record).__name__}; allowed: a list of objects, one per attempt"
            )
        yield number, record, None


def parse(text: str | bytes) -> Any:
    """Parse JSON; numbers keep how they were written."""
    # What is not text finds its encoding on its way.
    return _DECODER.decode(text) if isinstance(text, str) else json.loads(text, parse_float=Float)


def document_of(path: Path, encoding: str | None = None) -> Any:
    """Return the parsed content of a JSON file."""
    with readable(path, "JSON"):
        content = content_of(path)
        return parse(content.decode(encoding or mark_of(content) or "utf-8"))


def lines_of(path: Path, encoding: str | None = None) -> Iterator[tuple[int, Record, bytes | None]]:
    """Yield the records of a file of one JSON object per line: number of the line, record, raw bytes."""
    marked = mark_of(head_of(path))
    # Lines are cut as bytes, as text may hold other line separators; UTF-16 cannot be cut so.
    if (encoding or marked or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf-8-sig"):
        with readable(path, "JSONL"):
            text = content_of(path).decode(encoding or marked)
            lines: Iterator[bytes] = (line.encode() for line in text.lstrip("\ufeff").split("\n"))
            yield from _parsed(path, lines)
        return
    with readable(path, "JSONL"), open_bytes(path) as file:
        yield from _parsed(path, iter(lambda: file.readline(LARGEST_RECORD + 1), b""))


def _parsed(path: Path, lines: Iterator[bytes]) -> Iterator[tuple[int, Record, bytes | None]]:
    for number, line in enumerate(lines, 1):
        if len(line) > LARGEST_RECORD:
            raise InputError(
                f"{path}: line {number} holds more than {LARGEST_RECORD / 2**20:.0f} MiB; allowed: at most that"
            )
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        try:
            record = parse(line.decode())
        except RecursionError:
            raise InputError(f"{path}: line {number}: objects are nested too deeply") from None
        except ValueError as error:
            raise InputError(f"{path}: line {number} is no JSON ({_reason(error)}): {shown(line[:80])}") from error
        if not isinstance(record, dict):
            raise InputError(f"{path}: line {number} holds a {type(record).__name__}; allowed: one object per line")
        yield number, record, line.strip()


def _of_parquet(path: Path) -> Iterator[tuple[int, Record, bytes | None]]:
    with readable(path, "Parquet"):
        schema = pq.read_schema(path)
        _distinct(schema.names, str(path))
        texts = [one.name for one in schema if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)]
    # Texts stay codes into their distinct values until it is known how much they come to.
    with readable(path, "Parquet"), pq.ParquetFile(path, read_dictionary=texts) as file:
        data = file.metadata
        size = sum(data.row_group(index).total_byte_size for index in range(data.num_row_groups))
        # Runs of one value take no bytes, so rows are bounded too.
        if data.num_rows > MOST_RECORDS or data.num_rows * data.num_columns > 20 * MOST_RECORDS or size > LARGEST_FILE:
            raise InputError(
                f"{path}: {data.num_rows:,} rows of {data.num_columns} columns, {size / 2**20:,.0f} MiB; allowed: at "
                f"most {MOST_RECORDS:,} rows and {LARGEST_FILE / 2**20:,.0f} MiB. Leave out prompts and responses"
            )
        number = 0
        for batch in file.iter_batches(batch_size=1024):
            if _size(batch) > LARGEST_BATCH:
                raise InputError(
                    f"{path}: {len(batch)} rows come to more than {LARGEST_BATCH / 2**20:,.0f} MiB; allowed: at most "
                    "that. Leave out prompts and responses"
                )
            for record in batch.to_pylist():
                number += 1
                yield number, record, None


def _size(batch: Any) -> int:
    """Return the bytes of all values of a batch, where the same value can stand for many."""
    size = batch.nbytes
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary)
            size += pc.sum(pc.take(lengths.cast(pa.int64()), column.indices)).as_py() or 0
    return int(size)


def _of_excel(path: Path, sheet: str | None) -> Iterator[tuple[int, Record, bytes | None]]:
    try:
        import openpyxl
    except ImportError:
        raise InputError(
            f"{path}: an Excel file, for which the package openpyxl is needed: pip install 'ds3bayes[excel]'"
        ) from None
    with readable(path, "Excel"):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > min(LARGEST_DOCUMENT, max(SUSPECT_SIZE, SUSPECT_RATIO * path.stat().st_size)):
            raise InputError(
                f"{path}: decompresses to {size / 2**20:,.0f} MiB; allowed: at most "
                f"{LARGEST_DOCUMENT / 2**20:,.0f} MiB and {SUSPECT_RATIO} times its size. Save it as CSV"
            )
        # By its bytes: it looks at names, which do not say what a file is.
        with path.open("rb") as file:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            try:
                pages = {page.title: page for page in book.worksheets}
                for page in pages.values():
                    # Files can claim to fill a sheet; what counts is the cells that are there.
                    page.reset_dimensions()
                yield from _of_cells(path, pages[_chosen(path, pages, sheet)])
            finally:
                book.close()


def _chosen(path: Path, pages: Mapping[str, Any], sheet: str | None) -> str:
    if sheet is not None:
        if sheet not in pages:
            raise InputError(f"{path}: no sheet {sheet!r}; there are: {', '.join(map(repr, pages))}")
        return sheet
    filled = [name for name, page in pages.items() if any(True for _ in islice(page.iter_rows(), 1))]
    if len(filled) != 1:
        raise InputError(
            f"{path}: {len(filled)} sheets hold something ({', '.join(map(repr, filled))}); pass sheet= with the name "
            "of one"
        )
    return filled[0]


def _of_cells(path: Path, page: Any) -> Iterator[tuple[int, Record, bytes | None]]:
    names: list[str] | None = None
    count = 0
    for number, row in enumerate(page.iter_rows(), 1):
        count += len(row)
        if count > MOST_CELLS:
            raise InputError(f"{path}: holds more than {MOST_CELLS:,} cells; allowed: at most that. Save it as CSV")
        cells = [_excel_value(cell) for cell in row]
        if names is None:
            while cells and cells[-1] is None:
                cells.pop()
            names = ["" if cell is None else str(cell) for cell in cells]
            if not names or "" in names:
                raise InputError(f"{path}: row {number} must name all columns; it holds {shown(names)}")
            _distinct(names, str(path))
            continue
        if any(cell is not None for cell in cells[len(names) :]):
            raise InputError(f"{path}: row {number} holds more cells than there are named columns ({len(names)})")
        cells = (cells + [None] * len(names))[: len(names)]
        if any(cell is not None for cell in cells):
            yield number, dict(zip(names, cells, strict=True)), None


def _excel_value(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, int) and not isinstance(value, bool):
        # 7 that is shown as 007 is an id that is 007.
        form = getattr(cell, "number_format", "")
        if form and set(form) == {"0"} and len(form) > 1:
            return str(value).zfill(len(form))
    return value


def _of_text(
    path: Path, encoding: str | None, delimiter: str | None, notes: list[str]
) -> Iterator[tuple[int, Record, bytes | None]]:
    found, note = (encoding, "") if encoding else encoding_of(path)
    if note:
        notes.append(note)
    # The limit is that of the whole program; a response can be longer than its default.
    before = csv.field_size_limit(LARGEST_RECORD)
    try:
        with readable(path, "CSV"), open_bytes(path) as file:
            text = io.TextIOWrapper(file, encoding=found, newline="")
            if delimiter is None:
                delimiter = delimiter_of(head_of(path).decode(found, errors="ignore"))
                if delimiter != ",":
                    notes.append(f"{path}: cut by {delimiter!r}")
            elif len(delimiter) != 1:
                raise InputError(f"delimiter: got {delimiter!r}; allowed: one character")
            lines = csv.reader(_bounded_lines(path, text), delimiter=delimiter, strict=True)
            names = [name.strip().lstrip("\ufeff") for name in next(lines, [])]
            while names and not names[-1]:
                names.pop()
            if not names or "" in names:
                raise InputError(f"{path}: the first line must name all columns; it holds {shown(names)}")
            _distinct(names, str(path))
            for row in lines:
                if not any(row) or not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(names) and (len(row) < len(names) or any(row[len(names) :])):
                    raise InputError(
                        f"{path}: line {lines.line_num} has {len(row)} cells and the header {len(names)}, cut by "
                        f"{delimiter!r}. Pass delimiter= if it is another, or put quotes around cells that hold it"
                    )
                yield lines.line_num, dict(zip(names, row, strict=False)), "\0".join(row).encode(errors="surrogatepass")
    finally:
        csv.field_size_limit(before)


def _bounded_lines(path: Path, text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(LARGEST_RECORD):
        if len(line) >= LARGEST_RECORD:
            raise InputError(f"{path}: a line holds {LARGEST_RECORD / 2**20:.0f} MiB; allowed: less")
        yield line


def delimiter_of(head: str) -> str:
    """Return what cuts the cells of a table: it cuts all its first lines into as many as the header."""
    head = head.lstrip("\ufeff")
    best, most = ",", 1
    for mark in DELIMITERS:
        try:
            rows = [row for row in islice(csv.reader(io.StringIO(head, newline=""), delimiter=mark), 50) if row]
        except csv.Error:
            continue
        # The last line may be cut off.
        widths = {len(row) for row in (rows[:-1] if len(rows) > 2 else rows)}
        if len(widths) == 1 and max(widths) > most:
            best, most = mark, max(widths)
    return best


# --- columns ------------------------------------------------------------------------------------------------


def flat(record: Record) -> dict[str, Any]:
    """Return an object with those in it as columns, ``usage.output_tokens`` for instance; lists stay as they are."""
    if not any(type(value) not in _PLAIN and isinstance(value, Mapping) for value in record.values()):
        return record if isinstance(record, dict) else dict(record)
    result: dict[str, Any] = {}
    stack: list[tuple[str, Any, int]] = [("", record, 0)]
    while stack:
        prefix, value, depth = stack.pop()
        for key, inner in value.items():
            name = prefix + str(key)
            if type(inner) not in _PLAIN and isinstance(inner, Mapping) and depth < DEPTH and inner:
                stack.append((name + ".", inner, depth + 1))
            else:
                result.setdefault(name, inner)
            if len(result) > MOST_COLUMNS:
                return result
    return result


def first_record(path: Path) -> Record | None:
    """Return what the first records of a file hold together, or None where none can be read; reads only its head."""
    found: dict[str, Any] = {}
    try:
        for record in _first_records(path):
            found |= record
    except (InputError, ValueError, RecursionError):
        # What comes after the head is cut off, and what is wrong is said by who reads all of it.
        pass
    return found or None


def _first_records(path: Path) -> Iterator[Record]:
    kind = kind_of(path)
    if kind in ("csv", "jsonl", "parquet", "excel"):
        for _, record, _ in islice(records_of(path).rows, FIRST):
            yield record
    elif kind == "json":
        head = head_of(path)
        text = head.decode(mark_of(head) or "utf-8", errors="ignore").lstrip("\ufeff \t\r\n")
        decoder = json.JSONDecoder()
        if text.startswith("{"):
            record, _ = decoder.raw_decode(text)
            if not any(isinstance(value, list) and value for value in record.values()):
                yield record
            return
        for _ in range(FIRST):
            record, end = decoder.raw_decode(text := text[1:].lstrip())
            if not isinstance(record, dict):
                return
            yield record
            text = text[end:].lstrip()
            if not text.startswith(","):
                return


def keys_in(path: Path, *keys: str) -> bool:
    """Return whether the first bytes of a JSON file hold all these keys."""
    if path.is_dir():
        return False
    head = head_of(path)
    text = head.decode(mark_of(head) or "utf-8", errors="ignore").lstrip("\ufeff \t\r\n")
    return text.startswith(("{", "[")) and all(re.search(rf'"{re.escape(key)}"\s*:', text) for key in keys)


def name_of(value: object) -> str | None:
    """Return an id as text: a name, or a whole number that can be told from any other; None for all else."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    return None


def files_below(path: Path, pattern: str, lacking: str, most: int = MOST_FILES) -> list[Path]:
    """Return a file itself, or the files below a folder whose names match a pattern, in order.

    Parameters
    ----------
    path : Path
    pattern : str
        As `pathlib.Path.rglob` takes it.
    lacking : str
        What to say where there is none.
    most : int
        More files than this nobody means to read.

    Raises
    ------
    InputError
        If there is none, or too many.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: there is no such file or folder")
    found = sorted(one for one in path.rglob(pattern) if one.is_file())
    if not found:
        raise InputError(f"{path}: {lacking}")
    if len(found) > most:
        raise InputError(f"{path}: holds {len(found):,} such files; allowed: {most:,}. Name a folder of fewer")
    return found


def shown(value: object) -> str:
    """Return a value in few characters; neither what is huge nor what holds itself takes long."""
    if isinstance(value, int) and abs(value) >= 10**100:
        return "an integer of more than 100 digits"
    text = " ".join((value[:1000] if isinstance(value, str) else _SHORT.repr(value)).split())
    return text if len(text) <= 80 else text[:77] + "..."


def describe_text(path: Path) -> str:
    """Return how a table in text was understood: its encoding, what cuts it, and its decimal mark if it shows."""
    try:
        encoding, _ = encoding_of(path)
        head = head_of(path).decode(encoding, errors="ignore")
        mark = delimiter_of(head)
        cells = [cell.strip() for row in islice(csv.reader(io.StringIO(head), delimiter=mark), 1, 100) for cell in row]
    except (InputError, ValueError, csv.Error) as error:
        return f"text ({_reason(error)})"
    comma = any(re.fullmatch(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+", cell) for cell in cells) and mark != ","
    name = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "utf-16": "UTF-16", "utf-32": "UTF-32"}.get(encoding, encoding)
    return f"{name} text, cut by {mark!r}" + (", with a decimal comma" if comma else "")
