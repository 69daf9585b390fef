"""Every file that is read is a file; every file that is written is free to be, whole, and says who wrote it.

A command asks for its outputs (`claim`, `claim_folder`) before it computes anything: no input is overwritten, nothing
that ds3bayes did not write, no other kind of result, and nothing that another process is writing. `write` gives a file
its name in one step. That a file is ours is told by its content alone, so that folders can be moved and copied.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ds3bayes.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked.
    fcntl = None  # type: ignore[assignment]

#: What every file says that ds3bayes wrote, where its format has a place for it.
MARK = "written by ds3bayes"
_REMARK = f"<!-- {MARK} -->\n"
#: What the head of a page says that holds a picture and nothing else.
PICTURE_PAGE = f'<meta name="generator" content="{MARK}: a picture">'
#: What a netCDF file ends with, after all that its library reads.
_SEAL = re.compile(rf"\n{MARK}: (fit|dataset); SHA-256 of what precedes: ([0-9a-f]{{64}})\n\Z".encode())
_SEAL_SIZE = 200
#: What a spec begins with whose digest tells whether it is as it was written.
_SPEC = re.compile(rf"# {MARK}; SHA-256 of what follows: ([0-9a-f]{{64}})\r?\n")


@dataclass(frozen=True)
class Kind:
    """A kind of output.

    Parameters
    ----------
    what : str
        What it is called, with its article.
    suffixes : tuple of str
        With which its names end; empty if they may be any.
    """

    what: str
    suffixes: tuple[str, ...]


KINDS = {
    "fit": Kind("a fit", (".nc",)),
    "dataset": Kind("a dataset of predictions, scores or truths", (".nc",)),
    "table": Kind("a table", (".parquet", ".csv")),
    "page": Kind("a page", (".html", ".htm")),
    "text": Kind("a text in Markdown", ()),
    "picture": Kind("a picture", (".png", ".svg", ".pdf", ".html")),
    "junit": Kind("a test report in JUnit XML", ()),
    "spec": Kind("a specification", (".toml",)),
    "record": Kind("a record in JSON", (".json",)),
    # As it was shipped, without a mark: never replaced.
    "copy": Kind("a copy of a shipped file", ()),
}


class OutputError(OSError):
    """A file that could not be written: the message says which, why, and what became of its content."""


# --- what is read -------------------------------------------------------------------------------------------


def readable(path: str | os.PathLike[str], what: str, most: int | None = None) -> Path:
    """Return the path of a file, after making sure that it can be read and ends.

    Parameters
    ----------
    path : path
    what : str
        What it should be, for messages: ``"spec file"``.
    most : int, optional
        Most bytes that it may have.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If there is no such file, it is a folder, a device or a pipe, is larger than ``most``, or may not be read.
    """
    path = Path(path)
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise InputError(f"{path}: may not be read: {error.strerror}") from None
        try:
            near = did_you_mean(path.name, os.listdir(path.parent))
        except (OSError, ValueError):
            near = ""
        raise InputError(f"{path}: there is no such {what}.{near}") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path}: is a directory; a {what} is needed")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: is a device, a pipe or a socket; a {what} is needed: save it as a file first")
    if most is not None and found.st_size > most:
        raise InputError(f"{path}: has {found.st_size:,} bytes; a {what} has at most {most:,}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: may not be read (permission denied)")
    return path


# --- what is there ------------------------------------------------------------------------------------------


def kind_of(path: Path) -> str | None:
    """Return which of `KINDS` a file is, if ds3bayes wrote it and nobody changed it by hand; None for all others.

    Parameters
    ----------
    path : Path
        Of a file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(max(0, path.stat().st_size - 1024))
            tail = file.read()
    except OSError:
        return None
    mark = MARK.encode()
    if head.startswith(b"\x89HDF"):
        sealed = seal(path)
        return _kind_of_netcdf(path) if sealed is None else sealed[0] if sealed[1] else None
    if head.startswith(b"PAR1"):
        return "table" if _parquet_metadata(path).get(b"ds3bayes") == mark else None
    if b'<meta name="generator" content="' + mark in head:
        return "picture" if PICTURE_PAGE.encode() in head else "page"
    if head.startswith((b"\x89PNG", b"%PDF")) or b"<svg" in head:
        return "picture" if mark in head + tail else None
    if re.match(rb"<\?xml[^>]*>\s*<!-- " + mark, head):
        return "junit"
    if tail.endswith(b"\n" + _REMARK.encode()):
        return "text"
    if _SPEC.match(head.decode(errors="replace")):
        return "spec" if _is_as_written(path) else None
    if head.startswith(b"{"):
        return "record" if b'"source_name": "ds3bayes"' in head else None
    return "table" if _is_our_csv(head) else None


_CELL = re.compile(r"""(?:"((?:[^"]|"")*)"|[^",\r\n]*)(?:,|\n)""")


def _is_our_csv(head: bytes) -> bool:
    """Whether a table in CSV quotes the names of its columns, and no cell but where it must: there is no other mark."""
    names, found, cells = head.decode(errors="replace").partition("\n")
    if not found or not re.fullmatch(r""""(?:[^"]|"")+"(,"(?:[^"]|"")+")*""", names):
        return False
    at = 0
    while cell := _CELL.match(cells, at):
        if cell[1] and not re.search(r"""[,"\r\n]""", cell[1]):
            return False
        at = cell.end()
    return True


def seal(path: Path) -> tuple[str, bool] | None:
    """Return what kind of netCDF file ds3bayes wrote, and whether it is as it was written; None if it does not say.

    Its library may end the whole process when it opens a damaged file, so this is asked first.

    Parameters
    ----------
    path : Path
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _SEAL_SIZE))
        found = _SEAL.search(file.read())
        if found is None:
            return None
        return found[1].decode(), _digest_of_file(file, size - len(found[0])) == found[2].decode()


def _digest_of_file(file: BinaryIO, size: int) -> str:
    """Return the SHA-256 of the first bytes of a file."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0 and (part := file.read(min(size, 1 << 20))):
        digest.update(part)
        size -= len(part)
    return digest.hexdigest()


def _add_seal(path: Path, kind: str) -> None:
    with path.open("r+b") as file:
        digest = _digest_of_file(file, path.stat().st_size)
        file.seek(0, os.SEEK_END)
        file.write(f"\n{MARK}: {kind}; SHA-256 of what precedes: {digest}\n".encode())


def _kind_of_netcdf(path: Path) -> str | None:
    """Whether a file without a seal is a fit of an older release."""
    import netCDF4

    try:
        with netCDF4.Dataset(path) as file:
            return "fit" if {"schema", "model_id", "spec"} <= set(file.ncattrs()) else None
    except (OSError, RuntimeError, UnicodeDecodeError):
        return None


def _parquet_metadata(path: Path) -> Mapping[bytes, bytes]:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        return pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return {}


def _is_as_written(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        text = file.read()
    found = _SPEC.match(text)
    return found is not None and hashlib.sha256(text[found.end() :].encode()).hexdigest() == found[1]


def refuse_taken(path: str | os.PathLike[str], kind: str, inputs: Iterable[str | os.PathLike[str]] = ()) -> Path:
    """Return where an output goes, after making sure that it may.

    Parameters
    ----------
    path : path
        Where an output was asked for.
    kind : str
        One of `KINDS`.
    inputs : iterable of path
        What is read to make it; those that do not exist are no files.

    Returns
    -------
    Path
        The file that a link points to, or the path.

    Raises
    ------
    InputError
        If the name does not end as it should, or what is there is a folder, a device, an input (by whatever name or
        link), or no file of that kind that ds3bayes wrote.
    """
    path, wanted = Path(path), KINDS[kind]
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file in it")
    if wanted.suffixes and path.suffix.lower() not in wanted.suffixes:
        raise InputError(f"{path}: {wanted.what} is written; let the name end in {' or '.join(wanted.suffixes)}")
    if "\0" in str(path):
        raise InputError(f"{path}: a path must not hold a NUL character")
    for one in inputs:
        same = False
        with suppress(OSError, ValueError):
            same = path.samefile(one)
        if same:
            raise InputError(f"{path}: is what is read ({one}); name another file to write")
    # A link keeps pointing where it does.
    real = path.resolve()
    if not real.exists():
        return real
    if not real.is_file():
        raise InputError(f"{path}: is a device, a pipe or a socket; name a file to write")
    if real.stat().st_size == 0:
        return real
    found = kind_of(real)
    if found is None:
        why = "was changed since ds3bayes wrote it" if _SPEC.match(_beginning(real)) else "was not written by ds3bayes"
        raise InputError(f"{path}: is there and {why}, so it is kept; name another file, or move this one away")
    if found != kind:
        raise InputError(f"{path}: is {KINDS[found].what}, not {wanted.what}, so it is kept; name another file")
    return real


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(200).decode(errors="replace")


# --- who is writing -----------------------------------------------------------------------------------------

_HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:40]
_TEMPORARY = re.compile(r"\.ds3bayes-([^-]*)-(\d+)-.*")
_LOCK = ".ds3bayes-lock"
#: What `claim` holds until `release`.
_held = ExitStack()
_mine: set[Path] = set()
#: What `write` finished until `release`.
_written: list[str] = []
_asking_mask = threading.Lock()


def claim(path: str | os.PathLike[str], kind: str, inputs: Iterable[str | os.PathLike[str]] = ()) -> Path:
    """Take an output for this process, before the time is spent that it takes to make it.

    Its folder is made, what killed processes left there is swept, and other processes are kept from writing the file
    until `release`.

    Parameters
    ----------
    path, kind, inputs
        As for `refuse_taken`.

    Returns
    -------
    Path
        The path as it was given.

    Raises
    ------
    InputError
        If it is taken, its folder cannot be written to, or another process writes there; the message names it.
    """
    path = Path(path)
    place = refuse_taken(path, kind, inputs).parent
    _make(place)
    _hold(place / _LOCK, path, exclusive=False)
    _hold(place / f"{_LOCK}-{path.name}", path, exclusive=True)
    sweep(place)
    return path


def claim_folder(
    folder: str | os.PathLike[str], files: Mapping[str, str], inputs: Iterable[str | os.PathLike[str]] = ()
) -> Path:
    """Take a folder, which this process then has for itself; see `claim`.

    Parameters
    ----------
    folder : path
    files : mapping of str to str
        The kind of each file that will be written into it, by its name.
    inputs : iterable of path

    Returns
    -------
    Path
        Of the folder.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder to write into")
    read = list(inputs)
    for name, kind in files.items():
        refuse_taken(folder / name, kind, read)
    _make(folder)
    _hold(folder / _LOCK, folder, exclusive=True)
    for inside in {Path(), *(Path(name).parent for name in files)}:
        sweep(folder / inside)
    return folder


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Have a folder for this process alone within a block; it is made, and goes again if it stays empty.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        If it cannot be written to, or another process, or this one, has it.
    """
    with ExitStack() as held:
        _make(folder, held)
        _hold(folder / _LOCK, folder, exclusive=True, held=held)
        yield


def release() -> None:
    """Give back what this process claimed; folders that were made for it, and are empty, go."""
    _held.close()
    _written.clear()


def written() -> list[str]:
    """Return the names of what this process wrote since it last let go of its outputs, each once, in that order."""
    return list(dict.fromkeys(_written))


def _make(folder: Path, held: ExitStack = _held) -> None:
    """Make a folder; those that are made go again if they stay empty."""
    try:
        new = [one for one in (folder, *folder.absolute().parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: is not a folder that you may write to ({_reason(error)}); name another") from None
    for one in reversed(new):
        held.callback(_remove_empty, one)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _hold(lock: Path, output: Path, *, exclusive: bool, held: ExitStack = _held) -> None:
    """Lock a file until what is held is let go; the operating system unlocks it if the process ends."""
    if exclusive and lock.absolute() in _mine:
        raise InputError(f"{output}: is named for two outputs; name another file for one of them")
    if lock.absolute() in _mine:
        return
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(
                f"{output}: {lock.parent} is not a folder that you may write to ({_reason(error)}); name another"
            ) from None
        if fcntl is not None and not _locked(handle, exclusive):
            holder = os.read(handle, 200).decode(errors="replace") or "another process"
            os.close(handle)
            raise InputError(f"{output}: is being written by {holder}; wait for it, or name another place")
        with suppress(OSError):
            # Whoever had it may have removed it meanwhile; then it locks nothing.
            if os.path.samestat(os.fstat(handle), os.stat(lock)):
                break
        os.close(handle)
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
    _mine.add(lock.absolute())
    held.callback(_let_go, handle, lock)


def _locked(handle: int, exclusive: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: nobody can be kept out.
        return True
    return True


def _let_go(handle: int, lock: Path) -> None:
    _mine.discard(lock.absolute())
    # Others may share it.
    if fcntl is None or _locked(handle, exclusive=True):
        with suppress(OSError):
            lock.unlink()
    os.close(handle)


def sweep(folder: Path) -> None:
    """Remove the temporary files and locks in a folder whose processes are gone.

    Parameters
    ----------
    folder : Path
    """
    with suppress(OSError):
        for path in folder.glob(".ds3bayes-*"):
            found = _TEMPORARY.fullmatch(path.name)
            with suppress(OSError):
                if found and found[1] == _HOST and _is_gone(int(found[2])):
                    path.unlink()
                elif path.name.startswith(_LOCK) and fcntl is not None:
                    handle = os.open(path, os.O_RDWR)
                    if _locked(handle, exclusive=True):
                        path.unlink()
                    os.close(handle)


def _is_gone(process: int) -> bool:
    if os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


# --- what is written ----------------------------------------------------------------------------------------


def write(path: str | os.PathLike[str], kind: str, content: bytes | Callable[[str], object]) -> Path:
    """Write a file so that a reader, or a crash, only ever sees the old or the new content.

    Parameters
    ----------
    path : path
        Its folder is made if needed.
    kind : str
        One of `KINDS`.
    content : bytes or callable
        What it holds, or a function that writes it to the path of a temporary file beside it.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If what is there must not be replaced; see `refuse_taken`.
    OutputError
        If it cannot be written. What was there before is as it was.
    """
    path = Path(path)
    real = refuse_taken(path, kind)
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        with _rewriting(real) as temporary:
            if isinstance(content, bytes):
                temporary.write_bytes(content)
            else:
                content(str(temporary))
            if kind in ("fit", "dataset"):
                _add_seal(temporary, kind)
            if kind != "copy" and kind_of(temporary) != kind:
                raise AssertionError(f"{path}: does not say that it is {KINDS[kind].what} of ds3bayes")
        _written.append(str(path))
    except (OSError, RuntimeError) as error:
        # The netCDF library says RuntimeError when a disk is full; its kinds are faults of ours.
        if not isinstance(error, OSError) and type(error) is not RuntimeError:
            raise
        raise OutputError(f"{path}: could not be written: {_reason(error)}. What was there before is as it was") from (
            error
        )
    return path


def replace(path: Path, content: bytes) -> None:
    """Write a file of which nobody but this package knows, so that it is whole or as it was before.

    Parameters
    ----------
    path : Path
        Its folder exists.
    content : bytes
    """
    with _rewriting(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def _rewriting(path: Path) -> Iterator[Path]:
    """Yield a temporary file that takes a file's name in one step, if nothing fails."""
    temporary = _temporary(path.parent, path.suffix)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # Temporary files are private; an artifact gets the usual permissions, which can only be asked for by a change.
        with _asking_mask:
            mask = os.umask(0)
            os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(folder: Path, suffix: str) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".ds3bayes-{_HOST}-{os.getpid()}-", suffix=suffix)
    os.close(handle)
    return Path(name)


def need_room(folder: Path, size: int) -> None:
    """Refuse to begin a file that the disk has no room for.

    Parameters
    ----------
    folder : Path
        Which exists.
    size : int
        Bytes.

    Raises
    ------
    OSError
    """
    if hasattr(os, "statvfs"):
        found = os.statvfs(folder)
        free = found.f_bavail * found.f_frsize
        if free < size:
            raise OSError(f"no room on its disk ({free / 1e6:,.1f} MB are free, {size / 1e6:,.1f} MB are needed)")


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def folder_name(name: str) -> str:
    """Return text as the name of one folder, on any system, inside the folder that it is put into.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        The text if it is a plain name; else its letters, digits, ``.``, ``_``, ``-`` and spaces, and eight digits of
        its SHA-256, so that other names are other folders.
    """
    kept = re.sub(r"[^\w.\- ]", "_", name)[:80].strip(". ")
    told = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
    return kept if kept and kept == name else f"{kept or 'unnamed'}-{told}"


# --- tables -------------------------------------------------------------------------------------------------

#: Beginnings of cells that spreadsheets take for formulas; the last four are their wide forms.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def csv_bytes(frame: pd.DataFrame, *, index: bool = False) -> bytes:
    """Return a table as CSV (UTF-8) that no spreadsheet reads a formula in.

    A text that begins with ``= + - @``, a tab or a line break gets an apostrophe before it, and one that begins with
    apostrophes and one of these gets one more, so that `without_apostrophes` gives back what was. The names of columns
    are quoted, by which the file is known to be of ds3bayes.

    Parameters
    ----------
    frame : pandas.DataFrame
    index : bool
        Whether to write the rows' names.

    Returns
    -------
    bytes
    """
    shown = frame.reset_index() if index else frame.copy(deep=False)
    names = [re.sub(r"[\r\n]+", " ", _no_formula(str(name))).replace('"', '""') for name in shown.columns]
    shown.columns = range(len(names))
    for place in shown:
        if shown[place].dtype.kind not in "biufcM":
            shown[place] = shown[place].map(_no_formula)
    header = ",".join(f'"{name}"' for name in names)
    return f"{header}\n{shown.to_csv(index=False, header=False, lineterminator='\n')}".encode()


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def without_apostrophes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of a table that `csv_bytes` wrote as they were.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of text.
    """
    return frame.map(
        lambda cell: cell[1:] if isinstance(cell, str) and cell[:1] == "'" and _FORMULA.match(cell) else cell
    )


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """Return a table as Parquet.

    Parameters
    ----------
    frame : pandas.DataFrame

    Returns
    -------
    bytes
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    held = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), b"ds3bayes": MARK.encode()}), held)
    return held.getvalue()


def remarked(kind: str, text: str) -> bytes:
    """Return a text in Markdown, or JUnit XML, with a remark, which nobody is shown, that ds3bayes wrote it.

    Parameters
    ----------
    kind : {"text", "junit"}
    text : str
    """
    if kind == "junit":
        # Its declaration stays first.
        return re.sub(r"\A(<\?xml[^>]*>)\s*", lambda found: f"{found[1]}\n{_REMARK}", text).encode()
    return f"{text.rstrip()}\n\n{_REMARK}".encode()


def spec_bytes(text: str) -> bytes:
    """Return a spec's TOML with a first line by which changes by hand are noticed.

    Parameters
    ----------
    text : str
    """
    return f"# {MARK}; SHA-256 of what follows: {hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode()


# --- being stopped ------------------------------------------------------------------------------------------


def stop_politely() -> None:
    """Let a request to end (SIGTERM, SIGHUP) do what Ctrl-C does, so that nothing half is left."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        # Whoever asked for it to be ignored, as nohup does, is heeded.
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            # Threads other than the first may not ask.
            with suppress(ValueError):
                signal.signal(getattr(signal, name), interrupt)
