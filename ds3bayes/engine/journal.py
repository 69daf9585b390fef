"""A chain's journal: what its log density answered, kept in a file, so that a killed chain goes on where it was."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

from ds3bayes.engine.tape import Tape, address

#: What a journal begins with.
_HEAD = b"ds3bayes journal 1\n"
#: Seconds between writes to the file: at most so much of a chain is lost when its process is killed.
FLUSHED_EVERY = 1.0


@dataclass(frozen=True)
class Told:
    """What a journal has to say of a chain.

    Parameters
    ----------
    asked : int
        Log densities that the chain asked for.
    known : int
        How many of them were in the file.
    lost : int
        How many are not kept: the disk was full, or the file as large as it may be.
    """

    asked: int
    known: int
    lost: int


class Journal:
    """Stands between a chain and a tape, and keeps every answer.

    NUTS is a function of its seed and of the log densities and gradients that it is told. Run again from its seed, a
    chain gets the answers of its former life from the file, bit for bit, at the speed of reading; then it goes on.
    That holds at any moment, warm-up included, for any settings of the sampler, and needs nothing of its state.

    A record is closed by a digest of itself and all before it, so that one that was cut off or damaged ends what is
    read. Every thousandth, the first among them, is computed again: answers of another density, or of another
    processor, are not used.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.
    tape : Tape
        With a log density.
    most : int
        Bytes that the file may take, about; what comes after is not kept.
    """

    def __init__(self, path: Path, tape: Tape, most: int) -> None:
        with path.open("ab+") as file:
            file.seek(0)
            if file.read(len(_HEAD)) != _HEAD:
                file.truncate(0)
                file.write(_HEAD)
        self._library, self._tape = tape.library, tape
        call = self._library.machine_journal_open
        call.restype = ctypes.c_void_p
        call.argtypes = [
            ctypes.c_char_p,
            ctypes.c_int64,
            ctypes.c_uint64,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_double,
        ]
        records = most // (8 * (tape.dim + 4))
        opened = call(
            os.fsencode(path), len(_HEAD), tape.dim, tape.log_density_address, tape.handle, records, FLUSHED_EVERY
        )
        if not opened:
            raise OSError(f"{path}: cannot be opened")
        #: What its log density takes as its data; None once it is closed.
        self.handle: int | None = opened
        #: What it had to say when it was closed.
        self.told = Told(asked=0, known=0, lost=0)

    @property
    def log_density_address(self) -> int:
        """Address of the function of value and gradient, for one chain; it takes `handle` as its data."""
        return address(self._library.machine_journal_log_density)

    def close(self) -> None:
        """Write what is left, after the chain has ended."""
        if self.handle is None:
            return
        counts = [ctypes.c_int64() for _ in range(3)]
        tell = self._library.machine_journal_told
        tell.restype, tell.argtypes = None, [ctypes.c_void_p, *[ctypes.c_void_p] * 3]
        tell(self.handle, *map(ctypes.addressof, counts))
        close = self._library.machine_journal_close
        close.restype, close.argtypes = None, [ctypes.c_void_p]
        close(self.handle)
        self.handle = None
        self.told = Told(*(one.value for one in counts))
