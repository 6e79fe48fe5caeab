"""
Data files that say of themselves whether they are whole.

Responsible for the checksums of a file and where they are checked. The name has two CRC-32, of the
footer and of the whole file, and each page has its own. A reader of a few rows checks the footer
and the pages it reads. What DuckDB reads is checked as a whole first, as DuckDB checks no page.
Files of other engines have no such name, and are read unchecked.
"""

from __future__ import annotations

import re
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from materializer.errors import DamagedFile, explain

CHUNK = 1 << 20

_NAME = re.compile(r"-([0-9a-f]{8})-([0-9a-f]{8})\.parquet$")
# The length of the footer, and Parquet's four letters.
_TRAILER = 8
_PAGE = "page integrity"


def new_name(path: Path) -> str:
    """Return the name under which a finished Parquet file is published."""
    footer = _footer_crc(path)
    return f"{uuid.uuid4()}-{footer:08x}-{crc_of(path):08x}.parquet"


def crc_of(path: Path) -> int:
    """Return the CRC-32 of a file."""
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            crc = zlib.crc32(piece, crc)
    return crc


def check_whole(location: str, crc: int) -> None:
    """Raise `DamagedFile` if the CRC-32 of a file is not the one in its name."""
    named = _NAME.search(location)
    if named is not None and int(named[2], 16) != crc:
        raise DamagedFile(location, "its bytes are not those that were written")


def damage(io: FileIO, location: str) -> str | None:
    """Return what is wrong with a data file, reading all of it; None if nothing is."""
    try:
        crc = 0
        with named_damage(location), io.new_input(location).open() as source:
            while piece := source.read(CHUNK):
                crc = zlib.crc32(piece, crc)
        check_whole(location, crc)
        read_footer(io, location)
    except (DamagedFile, FileNotFoundError) as error:
        return explain(error)
    return None


def is_checked(location: str) -> bool:
    """Return whether a file's name has its checksums."""
    return _NAME.search(location) is not None


def read_footer(io: FileIO, location: str) -> Any:
    """Read the footer of a Parquet file; raise `DamagedFile` if it is another one."""
    with named_damage(location), io.new_input(location).open() as source:
        footer = _read_footer(source)
        named = _NAME.search(location)
        if named is not None and int(named[1], 16) != zlib.crc32(footer):
            raise DamagedFile(location, "its footer is not the one that was written")
        return pq.read_metadata(pa.BufferReader(footer))


@contextmanager
def open_parquet(io: FileIO, location: str, metadata: Any = None) -> Iterator[Any]:
    """Open a Parquet file, each page of which is checked as it is read."""
    metadata = metadata or read_footer(io, location)
    with named_damage(location), io.new_input(location).open() as source:
        yield pq.ParquetFile(
            source, metadata=metadata, page_checksum_verification=is_checked(location)
        )


@contextmanager
def named_damage(location: str) -> Iterator[None]:
    """Name the file in an error about what is in it."""
    try:
        yield
    except FileNotFoundError:
        # A reader may look again: a publish deletes old spans.
        raise
    except (pa.ArrowException, ValueError) as error:
        raise DamagedFile(location, explain(error)) from error
    except OSError as error:
        # Arrow has one class for a page that is not whole and for a disk that fails.
        if error.errno is not None:
            raise
        raise DamagedFile(location, explain(error)) from error


def _footer_crc(path: Path) -> int:
    with path.open("rb") as file:
        return zlib.crc32(_read_footer(file))


def _read_footer(source: BinaryIO | Any) -> bytes:
    size = source.seek(0, 2) or source.tell()
    source.seek(max(size - _TRAILER, 0))
    trailer = source.read(_TRAILER)
    if size < _TRAILER or trailer[-4:] != b"PAR1":
        raise ValueError("it does not end as a Parquet file does")
    length = int.from_bytes(trailer[:4], "little")
    if length > size - _TRAILER:
        raise ValueError("its footer is longer than the file")
    source.seek(size - _TRAILER - length)
    return bytes(source.read(length)) + trailer
