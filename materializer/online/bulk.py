"""
Sending many commands: encoded commands are streamed to the server, and every reply is checked.

Responsible for the chunks and the overlap: while the server works on one chunk, the next is sent
and the one after it encoded, and only then are the replies of the first read. Both pass as bytes
over redis-py's own connection, so Python does nothing per row. Does not go on after the first
error, or return a connection with unread replies to its pool.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import redis

from materializer.errors import FeatureStoreError
from materializer.online.connection import translate_errors

CHUNK_BYTES = 1 << 20
_OK = b"+OK\r\n"
_READ_BYTES = 1 << 16
_OKS = _OK * (_READ_BYTES // len(_OK) + 1)


@dataclass(frozen=True, slots=True)
class Sent:
    """Counts from the replies: each OK is a row written, each number the keys removed."""

    written: int = 0
    removed: int = 0

    def __add__(self, other: Sent) -> Sent:
        return Sent(self.written + other.written, self.removed + other.removed)


def send(
    client: redis.Redis,
    batches: Iterable[pa.RecordBatch],
    on_replies: Callable[[int], None] = lambda replies: None,
) -> Sent:
    """
    Send every command and check every reply, over one connection of the client's pool.

    *batches* have one string column, each row a complete RESP command; see `encode_ahead`.
    *on_replies* is called with the number of replies just read.

    Raises:
        OnlineStoreUnavailable: The server went away, or did not answer in time.
        OnlineWriteFailed: It answered with an error, such as being out of memory.
        FeatureStoreError: A command is null. Commands before its chunk were sent.
    """
    with translate_errors(client, writes=True):
        # Typed Any: redis-py gives these methods no types.
        connection: Any = client.connection_pool.get_connection()
        sent, waiting = Sent(), 0
        try:
            with closing(encode_ahead(batches)) as encoded:
                for chunk, commands in chain.from_iterable(map(chunks, encoded)):
                    # A health check would read one of our replies as its own.
                    connection.send_packed_command([chunk], check_health=False)
                    sent += _replies(connection, waiting, on_replies)
                    waiting = commands
            return sent + _replies(connection, waiting, on_replies)
        except BaseException:
            # Replies may be left unread.
            connection.disconnect()
            raise
        finally:
            client.connection_pool.release(connection)


def encode_ahead(batches: Iterable[pa.RecordBatch]) -> Generator[pa.RecordBatch, None, None]:
    """
    Yield batches, while a thread makes the next one.

    A chunk is longer than a socket's buffer, so the sender waits until the server has taken most of
    it. Without the thread nothing would be encoded meanwhile, and the server would wait afterwards.
    """
    rest = iter(batches)
    # Leaving the block waits for the batch that is being made: the engine is busy until then.
    with ThreadPoolExecutor(1, "encode") as thread:
        coming = thread.submit(next, rest, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, rest, None)
            yield batch


def chunks(batch: pa.RecordBatch, size: int = CHUNK_BYTES) -> Iterator[tuple[memoryview, int]]:
    """
    Cut a batch into pieces of complete commands, without copying.

    Yields:
        The bytes of a piece, up to *size* unless one command is longer, and its number of commands.
    """
    column = batch.column(0)
    if column.null_count:
        raise FeatureStoreError(
            "a row to push has no key: an entity column is null; add a not_null test to the model"
        )
    if len(column) == 0:
        return
    _, offsets_buffer, data_buffer = column.buffers()
    # Arrow keeps n + 1 int32 offsets for n strings, and a slice shares its parent's.
    offsets = memoryview(offsets_buffer).cast("i")[column.offset : column.offset + len(column) + 1]
    data = memoryview(data_buffer)
    first = 0
    while first < len(column):
        end = max(bisect_right(offsets, offsets[first] + size) - 1, first + 1)
        yield data[offsets[first] : offsets[end]], end - first
        first = end


def _replies(connection: Any, count: int, on_replies: Callable[[int], None]) -> Sent:
    # The parser would take as long for the OKs as all the rest of sending.
    rest = range(count - _leading_oks(connection, count))
    replies = [connection.read_response(disable_decoding=True) for _ in rest]
    numbers = [int(reply) for reply in replies if reply != b"OK"]
    if count:
        on_replies(count)
    return Sent(written=count - len(numbers), removed=sum(numbers))


def _leading_oks(connection: Any, count: int) -> int:
    """Read replies as long as they are OK, and leave what follows to redis-py's parser."""
    source, parser = connection._get_socket(), connection._parser._reader
    done = 0
    rest = b""
    # Numbers are shorter than OK, so the parser may have got replies of the next chunk as well.
    while done < count and not parser.has_data():
        try:
            data = source.recv(min(_READ_BYTES, (count - done) * len(_OK)) - len(rest))
        except TimeoutError as error:
            raise redis.TimeoutError("the server did not answer in time") from error
        except OSError as error:
            raise redis.ConnectionError(str(error)) from error
        if not data:
            raise redis.ConnectionError("the server closed the connection")
        data = rest + data
        oks = len(data) // len(_OK)
        length = oks * len(_OK)
        rest = data[length:]
        if data[:length] != _OKS[:length] or not _OK.startswith(rest):
            parser.feed(data)
        else:
            done += oks
    return done
