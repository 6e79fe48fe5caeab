"""Keys and values: the same bytes from Python and from SQL, and nothing lost on the way."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from materializer.config import format_time, parse_time
from materializer.errors import ContractMismatch, UnreadableValue
from materializer.online import codec
from materializer.registry import Column, Contract
from materializer.registry.values import JSON

USER = Column("user_id", "string")
TYPES = {
    "a text": ("string", pa.string()),
    "a_count": ("int64", pa.int64()),
    "a_ratio": ("double", pa.float64()),
    "a_flag": ("boolean", pa.bool_()),
    "a_day": ("date", pa.date32()),
    "a_time": ("timestamp", pa.timestamp("us")),
    "a_price": ("decimal(9,2)", pa.decimal128(9, 2)),
    'a "quoted" name': ("int64", pa.int64()),
}
CONTRACT = Contract(
    "everything",
    ("user_id",),
    tuple(Column(name, kind) for name, (kind, _) in TYPES.items()),
)

# Half a surrogate pair is no text that UTF-8, and so Parquet or JSON, can hold.
texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.datetimes().flatmap(
    lambda moment: st.sampled_from([moment, moment.replace(microsecond=0)])
)
values = st.tuples(
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.dates(),
    times,
    st.decimals(min_value=-9_999_999, max_value=9_999_999, places=2),
    st.integers(2**53 - 2, 2**53 + 2),
)
NASTY = "\" ' \\ \\u0041 \x00 \x01 \x1f \x7f \n \r\n \t 😀 \u2028 : % / %2F 100 % $5\r\n*1"


def evaluate(
    expression: str, columns: Mapping[str, tuple[pa.DataType, Sequence[Any]]]
) -> list[Any]:
    """Compute an SQL expression over some rows."""
    rows = pa.table({name: pa.array(v, kind) for name, (kind, v) in columns.items()})
    engine().register("rows", rows)
    return [value for (value,) in engine().execute(f"select {expression} from rows").fetchall()]


@cache
def engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def encode(rows: Sequence[Sequence[Any]]) -> list[Any]:
    columns = {
        name: (kind, [row[n] for row in rows]) for n, (name, (_, kind)) in enumerate(TYPES.items())
    }
    return evaluate(codec.value_sql(CONTRACT), columns)


def expected(value: Any) -> JSON:
    """Say how the format writes a value, apart from JSON's own rules."""
    match value:
        case datetime():
            text = value.strftime("%H:%M:%S") + (
                f".{value.microsecond:06}" * bool(value.microsecond)
            )
            return f"{value.year:04}-{value.month:02}-{value.day:02}T{text}Z"
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case _:
            return value  # type: ignore[no-any-return]


@given(st.lists(values, min_size=1, max_size=20))
@example([(NASTY, -(2**63), 5e-324, False, date.min, datetime.max, Decimal("-0.01"), 2**53 + 1)])
@example([(None,) * len(TYPES)])
def test_a_row_survives_the_round_trip(rows: list[tuple[Any, ...]]) -> None:
    for raw, row in zip(encode(rows), rows, strict=True):
        contract_id, decoded = codec.decode_value(raw.encode())
        assert contract_id == CONTRACT.id
        assert decoded == [expected(value) for value in row]
        assert [type(d) for d in decoded] == [type(expected(value)) for value in row]


@given(times)
def test_times_are_written_as_the_rest_of_the_store_writes_them(moment: datetime) -> None:
    [written] = evaluate(
        codec.value_sql(Contract("g", (), (Column("t", "timestamp"),))),
        {"t": (pa.timestamp("us"), [moment])},
    )
    _, [text] = codec.decode_value(written.encode())
    assert text == format_time(parse_time(moment.isoformat()))


def test_a_value_is_one_compact_json_array() -> None:
    [raw] = encode(
        [
            (
                'say "hi"',
                2**63 - 1,
                0.1,
                True,
                date(2024, 1, 7),
                datetime(2024, 1, 8, 1, 2, 3, 40),
                Decimal("12.50"),
                None,
            )
        ]
    )
    assert raw == (
        f'["{CONTRACT.id}","say \\"hi\\"",9223372036854775807,0.1,true,"2024-01-07",'
        '"2024-01-08T01:02:03.000040Z","12.50",null]'
    )


@given(st.text(st.characters(codec="ascii"), min_size=1), st.lists(texts, min_size=1, max_size=3))
@example("features", [NASTY])
@example("features", ["a:b%/ c", "%3A"])
@example("it's \\ a 'prefix'", ["x"])
@example("features", ["é" * 5_000])
def test_the_key_in_python_is_the_key_in_sql(prefix: str, parts: list[str]) -> None:
    entity = [Column(f"part {n}", "string") for n in range(len(parts))]
    columns = {f"part {n}": (pa.string(), [part]) for n, part in enumerate(parts)}
    assert evaluate(codec.key_sql(prefix, entity), columns) == [codec.key(prefix, parts)]


@given(st.lists(st.tuples(texts, texts), min_size=2, max_size=2, unique=True))
@example([("a", "b:c"), ("a:b", "c")])
@example([("%3A", ""), (":", "")])
def test_two_entities_never_share_a_key(entities: list[tuple[str, str]]) -> None:
    first, second = entities
    assert codec.key("features", first) != codec.key("features", second)


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        (["user1"], "features:user1"),
        (["a-b_c.d~e"], "features:a-b_c.d~e"),
        (["a b/c:d%e"], "features:a%20b%2Fc%3Ad%25e"),
        (["ü😀"], "features:%C3%BC%F0%9F%98%80"),
        (["u1", "shop:2"], "features:u1:shop%3A2"),
        ([""], "features:"),
    ],
)
def test_keys_are_percent_encoded_part_by_part(parts: list[str], key: str) -> None:
    assert codec.key("features", parts) == key


@pytest.mark.parametrize(
    ("kind", "arrow", "value", "part"),
    [
        ("int64", pa.int64(), -7, "-7"),
        ("date", pa.date32(), date(2024, 1, 7), "2024-01-07"),
        ("boolean", pa.bool_(), True, "true"),
        ("timestamp", pa.timestamp("us"), datetime(2024, 1, 7, 1, 2, 3), "2024-01-07T01:02:03Z"),
        ("decimal(5,2)", pa.decimal128(5, 2), Decimal("1.50"), "1.50"),
    ],
)
def test_key_columns_need_not_be_texts(kind: str, arrow: Any, value: Any, part: str) -> None:
    [key] = evaluate(codec.key_sql("p", [Column("k", kind)]), {"k": (arrow, [value])})
    assert key == codec.key("p", [part])


def test_contract_and_meta_have_keys_that_no_entity_has() -> None:
    assert codec.contract_key("1a2b3c4d") == "features:_contract:1a2b3c4d"
    assert codec.meta_key("features_daily") == "features:_meta:features_daily"


def test_a_row_is_one_set_command_whose_lengths_count_bytes() -> None:
    command = codec.command_sql("SET", codec.key_sql("features", [USER]), "v")
    columns = {"user_id": (pa.string(), ["é"]), "v": (pa.string(), ['["é😀"]'])}
    [sent] = evaluate(command, columns)
    assert sent.encode() == (
        b"*3\r\n$3\r\nSET\r\n$15\r\nfeatures:%C3%A9\r\n$10\r\n" + '["é😀"]'.encode() + b"\r\n"
    )


def test_a_row_that_expires_says_when_in_milliseconds() -> None:
    moment = datetime(2024, 1, 8) + timedelta(days=1)
    [sent] = evaluate(
        codec.command_sql("SET", "k", "v", "'PXAT'", "epoch_ms(t)::varchar"),
        {"k": (pa.string(), ["a"]), "v": (pa.string(), ["b"]), "t": (pa.timestamp("us"), [moment])},
    )
    assert sent == (
        "*5\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n$4\r\nPXAT\r\n$13\r\n1704758400000\r\n"
    )


def test_a_deletion_is_one_del_command() -> None:
    [sent] = evaluate(codec.command_sql("DEL", "k"), {"k": (pa.string(), ["features:a"])})
    assert sent == "*2\r\n$3\r\nDEL\r\n$10\r\nfeatures:a\r\n"


def test_a_row_without_a_key_makes_no_command() -> None:
    command = codec.command_sql("SET", codec.key_sql("features", [USER]), "'[]'")
    assert evaluate(command, {"user_id": (pa.string(), [None])}) == [None]


@pytest.mark.parametrize("raw", [b"", b"no json", b"\xff", b"[]", b"{}", b"[1]", b"null", b'"x"'])
def test_what_is_not_a_value_is_told(raw: bytes) -> None:
    with pytest.raises(UnreadableValue):
        codec.decode_value(raw)


def test_values_are_named_by_their_contract() -> None:
    contract = Contract("g", ("user_id",), (Column("day", "date"), Column("clicks", "int64")))
    assert codec.row(contract, ["2024-01-07", 3]) == {"day": "2024-01-07", "clicks": 3}
    with pytest.raises(ContractMismatch, match="has 1 values, its contract"):
        codec.row(contract, ["2024-01-07"])


def test_a_contract_reads_back_as_it_was_written() -> None:
    assert Contract.from_text(CONTRACT.text) == CONTRACT
    assert json.loads(CONTRACT.text)["columns"][1] == {"name": "a_count", "type": "int64"}
