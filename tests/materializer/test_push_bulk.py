"""How commands are cut into chunks, sent, and their replies counted."""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materializer.errors import FeatureStoreError, OnlineStoreUnavailable, OnlineWriteFailed
from materializer.online.bulk import CHUNK_BYTES, Sent, chunks, encode_ahead, send
from tests.support.profile import examples


def batch(commands: Sequence[str | None]) -> pa.RecordBatch:
    return pa.record_batch({"command": pa.array(commands, pa.string())})


def command(*words: str) -> str:
    """Write a command as the protocol has it, in plain Python."""
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(parts)}\r\n{''.join(parts)}"


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
    st.integers(0, 5),
    st.integers(1, 30),
)
def test_chunks_are_the_whole_text_in_whole_commands(
    commands: list[str], skipped: int, size: int
) -> None:
    texts = commands[skipped:]
    rest = iter(texts)
    for chunk, count in chunks(batch(commands).slice(skipped), size):
        inside = [next(rest) for _ in range(count)]
        assert bytes(chunk) == "".join(inside).encode()
        assert len(chunk) <= size or count == 1
    assert list(rest) == []


def test_a_chunk_is_as_long_as_it_may_be() -> None:
    found = [(len(chunk), count) for chunk, count in chunks(batch(["aa"] * 5), 4)]
    assert found == [(4, 2), (4, 2), (2, 1)]


def test_a_missing_command_is_refused() -> None:
    with pytest.raises(FeatureStoreError, match="a row to push has no key"):
        list(chunks(batch(["a", None])))


def test_replies_are_counted_by_what_they_say(client: redis.Redis) -> None:
    client.set("b", "")
    commands = [command("SET", "a", "1"), command("DEL", "b"), command("DEL", "nobody")]
    told: list[int] = []
    sent = send(client, [batch(commands), batch([])], on_replies=told.append)
    assert sent == Sent(written=1, removed=1)
    assert told == [3]


@settings(max_examples=examples(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.booleans(), max_size=40), max_size=8))
def test_replies_of_any_mix_are_counted_chunk_by_chunk(
    client: redis.Redis, batches: list[list[bool]]
) -> None:
    written = sum(sum(one) for one in batches)
    told: list[int] = []
    texts = [
        [command("SET", "a", "1") if is_set else command("DEL", "nobody") for is_set in one]
        for one in batches
    ]
    sent = send(client, [batch(one) for one in texts], on_replies=told.append)
    assert sent == Sent(written=written, removed=0)
    assert sum(told) == sum(len(one) for one in batches)
    assert client.echo("hello") == b"hello"


def test_replies_read_with_those_of_an_earlier_chunk_are_counted(client: redis.Redis) -> None:
    many = 30_000
    client.mset({f"key{number}": "" for number in range(many)})
    deletions = batch([command("DEL", f"key{number}") for number in range(many)])
    writes = batch([command("SET", f"key{number}", "") for number in range(many)])
    assert send(client, [deletions, writes, deletions, writes]) == Sent(2 * many, 2 * many)


def test_a_server_that_goes_away_is_told(client: redis.Redis) -> None:
    commands = [command("SET", "a", "1")] * 5 + [command("QUIT"), command("SET", "b", "1")]
    with pytest.raises(OnlineStoreUnavailable):
        send(client, [batch(commands)])


def test_nothing_to_send_is_nothing_sent(client: redis.Redis) -> None:
    assert send(client, []) == Sent()


@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, unique=True))
def test_any_text_arrives_as_it_was(client: redis.Redis, texts: list[str]) -> None:
    send(client, [batch([command("SET", text, text) for text in texts])])
    assert client.mget(texts) == [text.encode() for text in texts]


def test_values_longer_than_a_chunk_arrive(client: redis.Redis) -> None:
    long = "é" * CHUNK_BYTES
    values = {"a": long, "b": "short", "c": long}
    sent = send(client, [batch([command("SET", key, value) for key, value in values.items()])])
    assert sent.written == 3
    assert client.mget(values) == [value.encode() for value in values.values()]


def test_an_error_ends_the_sending_and_the_next_command_gets_its_own_answer(
    client: redis.Redis,
) -> None:
    commands = [command("SET", "a", "1"), command("INCR", "a", "x"), command("SET", "b", "2")]
    with pytest.raises(OnlineWriteFailed, match="wrong number of arguments"):
        send(client, [batch(commands)])
    assert client.get("a") == b"1"
    assert client.echo("hello") == b"hello"


def test_a_batch_is_made_while_the_one_before_it_is_in_use() -> None:
    made = threading.Event()

    def batches() -> Iterator[pa.RecordBatch]:
        yield batch([command("SET", "a", "1")])
        made.set()
        yield batch([])

    with closing(encode_ahead(batches())) as coming:
        assert next(coming).num_rows == 1
        assert made.wait(10)


def test_what_ends_the_making_of_batches_ends_the_sending(client: redis.Redis) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield batch([command("SET", "a", "1")])
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        send(client, batches())
    assert client.echo("hello") == b"hello"


def test_nobody_makes_batches_after_an_error(client: redis.Redis) -> None:
    def batches() -> Generator[pa.RecordBatch, None, None]:
        while True:
            yield batch([command("INCR", "a", "x")])

    made = batches()
    with pytest.raises(OnlineWriteFailed):
        send(client, made)
    # Refused while another thread is at it.
    made.close()
