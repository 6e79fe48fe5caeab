"""Files as people have them: what is read is what they hold, or one line says what is wrong."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from materializer.errors import LabelsUnusable
from materializer.sql import open_engine
from materializer.training.labels import open_labels
from tests.support.dbt import Project, Run
from tests.support.own_project import write_own_project

Rows = Sequence[tuple[str | None, ...]]

_MODEL = """\
{{{{ config(materialized='table') }}}}
select id, cast(ts as varchar) as ts {more} from {{{{ feature_store.read_input(
    '{name}', none, {{'id': 'text', 'ts': 'time'}}, optional={{'ingested_at': 'time'}}
) }}}} as input
"""
DAY = "2024-03-30 00:00:00"


@dataclass
class Case:
    """
    Files of an input, and what is read from them.

    Attributes:
        write: Writes them into a folder.
        path: The value of the var, in the folder.
        rows: What is read, in any order; or the text that an error has.
        columns: The columns that are read.
    """

    name: str
    write: Callable[[Path], None]
    path: Any
    rows: Rows | str
    columns: Sequence[str] = field(default=("id", "ts"))


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    return write


def parquet(name: str, *select: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        copied = str(path).replace("'", "''")
        duckdb.execute(f"copy ({' union all '.join(select)}) to '{copied}' (format parquet)")

    return write


def both(*writers: Callable[[Path], None]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for writer in writers:
            writer(folder)

    return write


def row(id_: str, ts: str = "timestamp '2024-03-30'", more: str = "") -> str:
    return f"select {id_} as id, {ts} as ts{', ' + more if more else ''}"


ONE = [("a", DAY)]
A, B = f"a,{DAY}\n", f"b,{DAY}\n"
MANY = "".join(f"{n:03d},{DAY}\n" for n in range(500))
CASES = [
    # Each file by its own types.
    Case(
        "text_then_integers",
        both(parquet("a.parquet", row("'007'")), parquet("b.parquet", row("7"))),
        "*.parquet",
        [("007", DAY), ("7", DAY)],
    ),
    Case(
        "integers_then_text",
        both(parquet("a.parquet", row("7")), parquet("b.parquet", row("'007'"))),
        "*.parquet",
        [("007", DAY), ("7", DAY)],
    ),
    Case(
        "integers_then_fractions",
        both(parquet("a.parquet", row("9")), parquet("b.parquet", row("8.6::double"))),
        "*.parquet",
        "b.parquet: column id is DOUBLE, which is no text (it is INTEGER in ",
    ),
    Case(
        "offsets_in_a_later_file",
        both(
            parquet("a.parquet", row("'a'")),
            parquet("b.parquet", row("'b'", "timestamptz '2024-03-30 02:00:00+02:00'")),
            parquet("c.parquet", row("'c'", "'2024-03-30T02:00:00+02:00'")),
        ),
        "*.parquet",
        [("a", DAY), ("b", DAY), ("c", DAY)],
    ),
    Case(
        "nanoseconds_in_a_later_file",
        both(
            parquet("a.parquet", row("'a'")),
            parquet("b.parquet", row("'b'", "timestamp_ns '2024-03-29 23:59:59.999999999'")),
        ),
        "*.parquet",
        [("a", DAY), ("b", "2024-03-29 23:59:59.999999")],
    ),
    Case(
        "arrival_in_a_later_file_alone",
        both(
            parquet("a.parquet", row("'a'")),
            parquet("b.parquet", row("'b'", more="timestamp '2024-03-31' as ingested_at")),
        ),
        "*.parquet",
        "a.parquet: column ingested_at is missing, and is TIMESTAMP in ",
    ),
    Case(
        "arrival_of_two_types",
        both(
            parquet("a.parquet", row("'a'", more="date '2024-03-31' as ingested_at")),
            parquet("b.parquet", row("'b'", more="'2024-03-31' as ingested_at")),
        ),
        "*.parquet",
        [("a", DAY, "2024-03-31 00:00:00"), ("b", DAY, "2024-03-31 00:00:00")],
        ("id", "ts", "ingested_at"),
    ),
    Case(
        "columns_in_another_order",
        both(
            text("a.csv", f"id,ts\n{A}"),
            text("b.csv", f"ts,more,id\n{DAY},1,b\n"),
            text("c.csv", f'"ID", Ts\nc,{DAY}\n'),
        ),
        ["a.csv", "b.csv", "c.csv"],
        [("a", DAY), ("b", DAY), ("c", DAY)],
    ),
    Case(
        "formats_side_by_side",
        both(
            parquet("a.parquet", row("'007'")),
            text("b.csv", f"id,ts\n007,{DAY}\n"),
            text("c.jsonl", f'{{"id": "007", "ts": "{DAY}"}}\n{{"ts": "{DAY}", "id": 7}}\n'),
        ),
        "*",
        [("007", DAY)] * 3 + [("7", DAY)],
    ),
    # What a folder or a pattern finds.
    Case(
        "hidden_files",
        both(
            parquet("in/a.parquet", row("'a'")),
            *(
                text(f"in/{name}", "not a table")
                for name in (
                    "_temporary/0/part.parquet",
                    ".spark-staging-1/x=1/part.parquet",
                    "._a.parquet",
                    ".a.parquet.crc",
                    "_SUCCESS",
                    "tmp_b.parquet",
                    "c.parquet._COPYING_",
                )
            ),
        ),
        "in",
        ONE,
    ),
    Case("hidden_alone", text("in/_a.csv", "x"), "in/*", "hidden or unfinished, such as"),
    Case("hidden_but_named", text("_a.csv", f"id,ts\n{A}"), "_a.csv", ONE),
    Case("in_a_hidden_folder", text("_in/a.csv", f"id,ts\n{A}"), "_in/*.csv", ONE),
    Case(
        "twice_named", text("a.csv", f"id,ts\n{A}"), ["a.csv", "*.csv", "./a.csv", "$/a.csv"], ONE
    ),
    Case(
        "same_name_in_two_folders",
        both(text("a.csv", f"id,ts\n{A}"), text("in/a.csv", f"id,ts\n{B}")),
        ["a.csv", "$/in/a.csv"],
        [("a", DAY), ("b", DAY)],
    ),
    Case("star_over_parquet", parquet("in/part-00000", row("'a'")), "in/*", ONE),
    Case(
        "tree_of_partitions",
        both(
            parquet("in/day=2024-03-30/p.parquet", row("'a'")),
            parquet("in/day=2024-03-31/_q.parquet", row("'b'")),
            parquet("in/day=2024-03-31/q.parquet", row("'b'")),
        ),
        "in",
        [("a", DAY), ("b", DAY)],
    ),
    Case(
        "column_of_a_partition",
        both(
            parquet("in/id=007/p.parquet", "select timestamp '2024-03-30' as ts"),
            parquet("in/id=a%2Fb/p.parquet", "select timestamp '2024-03-30' as ts"),
        ),
        "in/",
        [("007", DAY), ("a/b", DAY)],
    ),
    Case(
        "odd_names",
        both(
            text("in/it's [1].csv", f"id,ts\n{A}"),
            text("in/é *?.csv", f"id,ts\n{B}"),
            parquet("in/a b[0]/x'y.parquet", row("'c'")),
            parquet("in/a b[0]/z.parquet", row("7")),
        ),
        "in",
        [("a", DAY), ("b", DAY), ("c", DAY), ("7", DAY)],
    ),
    Case("named_with_brackets", text("a[1].csv", f"id,ts\n{A}"), "a[1].csv", ONE),
    # CSV as RFC 4180 has it.
    Case(
        "two_exports_in_one_file",
        text("a.csv", f"id,ts\n{MANY}id,ts,more\n" + MANY.replace("\n", ",1\n")),
        "a.csv",
        "Line: 502",
    ),
    Case("a_line_with_less", text("a.csv", f"id,ts\n{A}b\n{B}"), "a.csv", "Line: 3"),
    Case("half_a_line", text("a.csv", f"id,ts,more\na,{DAY},1\nb,{DAY}"), "a.csv", "Line: 3"),
    Case("an_open_quote", text("a.csv", f'id,ts\n{A}"b,{DAY}\n{B}'), "a.csv", "Line: 3"),
    Case(
        "a_late_quote",
        text("a.csv", "id,ts\n" + MANY * 50 + f'"a,b",{DAY}\n'),
        "a.csv",
        [(f"{n:03d}", DAY) for n in range(500)] * 50 + [("a,b", DAY)],
    ),
    Case(
        "apostrophes",
        text("a.csv", f"id,ts\n'x',{DAY}\n'y,{DAY}\n"),
        "a.csv",
        [("'x'", DAY), ("'y", DAY)],
    ),
    Case("ids_with_a_hash", text("a.csv", f"id,ts\n#x,{DAY}\n{A}"), "a.csv", [("#x", DAY), *ONE]),
    Case("an_end_mark", text("a.csv", f"id,ts\n{A}# end of export\n"), "a.csv", "Line: 3"),
    Case("a_title", text("a.csv", f"Export of 2024\nid,ts\n{A}"), "a.csv", "column id is missing"),
    Case(
        "a_mark_of_byte_order",
        text("a.csv", f'\ufeffid,ts\r\na,{DAY}\r\n"b\r\nc",{DAY}\r\n'),
        "a.csv",
        [*ONE, ("b\r\nc", DAY)],
    ),
    Case("compressed", text("a.csv.gz", f"id,ts\n{A}"), "a.csv.gz", ONE),
    Case("tabs", text("a.tsv", f"id\tts\na\t{DAY}\n"), "a.tsv", ONE),
    Case("semicolons", text("a.csv", f"id;ts\na;{DAY}\n"), "a.csv", "column id is missing"),
    Case(
        "semicolons_declared",
        text("a.csv", f"id;ts\n'a;b';{DAY}\n"),
        {"path": "a.csv", "delimiter": ";", "quote": "'"},
        [("a;b", DAY)],
    ),
    Case("an_empty_file", text("a.csv", ""), "a.csv", "column id is missing"),
    Case("a_header_alone", text("a.csv", "id,ts\n"), "a.csv", []),
    Case("a_column_twice", text("a.csv", f"id,id,ts\na,{A}"), "a.csv", "column id is missing"),
    Case("latin_1", text("a.csv", f"id,ts\né,{DAY}\n".encode("latin-1")), "a.csv", "not utf-8"),
    # JSON lines.
    Case(
        "objects",
        text(
            "a.jsonl",
            f'{{"id": "007", "ts": "{DAY}"}}\n{{"id": 1.5, "ts": 7}}\n\n{{"id": null}}\n',
        ),
        "a.jsonl",
        [("007", DAY), (None, None), (None, None)],
    ),
    Case(
        "broken_object",
        text("a.jsonl", f'{{"id": "a", "ts": "{DAY}"}}\n{{"id"\n'),
        "a.jsonl",
        "alformed",
    ),
    Case("no_file", lambda _: None, "*.csv", "no file matches"),
    Case("a_workbook", text("a.xlsx", "PK"), "a.xlsx", "is neither Parquet (.parquet) nor CSV"),
]

# Those of one file that `training-set` takes.
ONE_FILE = [
    case.name
    for case in CASES
    if (path := case.path["path"] if isinstance(case.path, dict) else case.path)
    and isinstance(path, str)
    and "*" not in path
    and "[" not in path
    and path.endswith((".csv", ".tsv", ".csv.gz", ".parquet"))
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """Read every case by one command, each by a model of its own."""
    project = InputsProject(tmp_path_factory.mktemp("inputs") / "project")
    project.dbt("deps").assert_done()
    return project.dbt("build"), project.folder


class InputsProject(Project):
    """A project with a model for each case."""

    shares_parsing = False

    def __post_init__(self) -> None:
        """Write it, and the files."""
        folder = write_own_project(self.folder, "inputs", records=False)
        models = []
        for case in CASES:
            (self.folder / case.name).mkdir()
            case.write(self.folder / case.name)
            more = "".join(f", cast({name} as varchar) as {name}" for name in case.columns[2:])
            (folder / f"{case.name}.sql").write_text(
                _MODEL.format(name=f"{case.name}_path", more=more)
            )
            self.variables[f"{case.name}_path"] = self._placed(case.path, case.name)
            arguments = {"var_name": f"{case.name}_path"}
            test = {"name": f"{case.name}_read", "arguments": arguments}
            models.append(
                {"name": case.name, "data_tests": [{"feature_store.reads_every_row": test}]}
            )
        (folder / "models.yml").write_text(yaml.safe_dump({"models": models}))

    def _placed(self, path: Any, name: str) -> Any:
        if isinstance(path, dict):
            return {**path, "path": self._placed(path["path"], name)}
        if isinstance(path, list):
            return [self._placed(part, name) for part in path]
        if path.startswith("$"):
            return path.replace("$", str(self.folder / name))
        return os.path.join(name, path)  # noqa: PTH118, which would drop a last slash and a dot


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_files_are_read_as_they_are(run: tuple[Run, Path], case: Case) -> None:
    done, folder = run
    if isinstance(case.rows, str):
        assert done.statuses[case.name] == "error"
        assert case.rows in _said_of(done.output, case.name)
        return
    assert done.statuses[case.name] == "success", _said_of(done.output, case.name)
    assert done.statuses[f"{case.name}_read"] == "pass", _said_of(done.output, case.name)
    with duckdb.connect(str(folder / "home" / "warehouse.duckdb"), read_only=True) as warehouse:
        warehouse.execute(f"set file_search_path = '{folder}'")
        found = warehouse.execute(
            f"select {', '.join(case.columns)} from feature_store.{case.name}"
        ).fetchall()
    assert sorted(found, key=str) == sorted(case.rows, key=str)


def _said_of(output: str, name: str) -> str:
    parts = output.split("Error in model ")
    return " ".join(part for part in parts if part.startswith(f"{name} ")) or output


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name in ONE_FILE], ids=lambda case: case.name
)
def test_a_label_file_is_read_in_the_same_way(run: tuple[Run, Path], case: Case) -> None:
    given = case.path if isinstance(case.path, dict) else {"path": case.path}
    path = run[1] / case.name / given.pop("path")
    with open_engine("1GB") as (connection, _):
        try:
            labels = open_labels(connection, path, **given)
            key, time = labels.key_sql("id", "string", "users.id"), labels.time_sql("ts")
            found = connection.execute(
                f"select {key}, cast({time} as varchar) from {labels.relation}"
            ).fetchall()
            labels.require_whole(connection, len(found))
        except (LabelsUnusable, duckdb.Error) as error:
            assert isinstance(case.rows, str), error
            return
    assert sorted(found) == sorted(case.rows)
