"""What the pages say is what the code does: options, codes, settings, tests, messages, examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from materializer.errors import EXIT_CODES
from materializer.online import codec
from materializer.registry import Contract, FeatureGroup, GateTest
from materializer.warehouse.gate import objections
from materializer.warehouse.records import Verdict
from tests.support import oracle
from tests.support.command_lines import OPTIONS, PROGRAMS, parse

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "dbt_project"
PAGES = {
    path.relative_to(ROOT / "docs").as_posix(): path.read_text()
    for path in (ROOT / "docs").rglob("*.md")
}
TOLD = "\n".join([(ROOT / "README.md").read_text(), *PAGES.values()])
PYTHON = [*(ROOT / "materializer").rglob("*.py"), *(ROOT / "serve").rglob("*.py")]
SQL = [*PROJECT.rglob("*.sql"), *PROJECT.rglob("*.yml")]


def read(paths: Iterable[Path]) -> str:
    return "\n".join(path.read_text() for path in paths)


def table(page: str, *header: str) -> list[list[str]]:
    """Find the table that begins with these columns; its rows, without backticks around a cell."""
    lines = iter(PAGES[page].splitlines())
    for line in lines:
        if line.startswith("| " + " | ".join(header) + " |"):
            next(lines)
            return [cells(row) for row in lines_of_table(lines)]
    raise AssertionError(f"{page} has no table {header}")


def lines_of_table(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield line


def cells(line: str) -> list[str]:
    return [re.sub(r"^`([^`]*)`$", r"\1", cell.strip()) for cell in line.strip("|").split(" | ")]


# Command lines


@pytest.mark.parametrize("command", OPTIONS)
def test_every_command_and_option_is_in_the_docs(command: str) -> None:
    assert [name for name in (command, *OPTIONS[command]) if f"`{name}" not in TOLD] == []


def test_the_table_of_options_has_no_option_that_is_gone() -> None:
    told = {
        option
        for row in table("how-to/operations.md", "option", "meaning")
        for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row[0])
    }

    assert told == {option for options in OPTIONS.values() for option in options}


def test_the_table_of_commands_gives_each_its_own_options() -> None:
    shared = {"-h", "--help", "--project-dir", "--target", "--json", "--debug", "--group"}
    commands = {name: OPTIONS[name] - shared for name in OPTIONS if name != "materializer"}

    assert commands == {
        row[0]: set(re.findall(r"--[a-z-]+", row[2]))
        for row in table("how-to/operations.md", "command", "what it does", "its own options")
    }


def command_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", TOLD, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith(PROGRAMS)]


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_in_the_docs_is_understood(line: str) -> None:
    parse(line)


def test_the_table_of_exit_codes_is_that_of_the_code() -> None:
    rows = table("how-to/operations.md", "code", "meaning")

    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


# Settings


def test_every_environment_variable_is_told_and_none_that_is_not_read() -> None:
    source = read([*PYTHON, *SQL, ROOT / "profiles.yml", ROOT / "dbt_project.yml"])
    reads = r"(?<!request\.)(?:\benv(?:iron)?(?:\.get\(|\[)|env_var\(|_ENV = )\s*[\"'](\w+)[\"']"
    read_there = set(re.findall(reads, source))

    told = {
        row[0].removesuffix("*") for row in table("reference/settings.md", "variable", "meaning")
    }

    assert told == read_there


def test_every_dbt_var_is_told_and_none_that_is_not_read() -> None:
    source = read([*SQL, ROOT / "dbt_project.yml", ROOT / "profiles.yml"])
    used = set(re.findall(r"(?<!env_)\bvar\(\s*'(\w+)'", source))
    used |= set(re.findall(r"input_relation\(\s*'(\w+)'", source))
    declared = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]

    told = {row[0]: row[2] for row in table("reference/settings.md", "var", "meaning", "default")}

    assert set(told) == used
    assert {name: told[name] for name in declared} == {k: str(v) for k, v in declared.items()}


def test_every_setting_of_the_profile_is_told() -> None:
    profile = yaml.safe_load((ROOT / "profiles.yml").read_text())["feature_store"]

    told = [row[0] for row in table("reference/settings.md", "setting", "value", "why")]

    assert told == list(profile["outputs"][profile["target"]])


def test_every_key_of_a_feature_group_is_told() -> None:
    from_the_model = {
        *("name", "unique_id", "relation_name", "description", "columns", "tags"),
        *("version", "latest_version", "deprecation_date", "lineage"),
    }

    told = {row[0] for row in table("reference/settings.md", "key", "meaning", "default")}

    assert told == {field.name for field in fields(FeatureGroup)} - from_the_model


# The gate


def gate_tests() -> dict[str, set[str]]:
    """Read every gate test from the project's files, with the models that it guards."""
    found = {}
    for path in (PROJECT / "models").rglob("*.yml"):
        for model in yaml.safe_load(path.read_text()).get("models", []):
            columns = model.get("columns", [])
            for test in [test for node in (model, *columns) for test in node.get("data_tests", [])]:
                body = next(iter(test.values())) if isinstance(test, dict) else {}
                if "gate" in body.get("config", {}).get("tags", []):
                    arguments = json.dumps(body.get("arguments", {}))
                    found[body["name"]] = {model["name"], *refs(arguments)}
    for path in (PROJECT / "tests").glob("*.sql"):
        text = path.read_text()
        if re.search(r"tags=\[[^\]]*'gate'", text):
            found[path.stem] = refs(text)
    staging = {path.stem for path in (PROJECT / "models" / "staging").glob("*.sql")}
    return {name: guarded - staging for name, guarded in found.items()}


def refs(text: str) -> set[str]:
    return set(re.findall(r"ref\('(\w+)'\)", text))


def test_the_table_of_the_gate_names_every_test_and_what_it_guards() -> None:
    told = {
        row[0]: set(re.findall(r"\w+", row[2]))
        for row in table("explanation/gate.md", "test", "what it proves", "guards")
    }

    assert told == gate_tests()


# Messages


def messages() -> list[str]:
    text = PAGES["how-to/troubleshooting.md"]
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


@pytest.fixture(scope="module")
def source() -> str:
    """Give every text of the code, with the pieces of a literal put together."""
    text = re.sub(r'"\s*\n\s*f?"', "", read([*PYTHON, *SQL]))
    text = re.sub(r'"\s*\n?\s*~ "', "", text).replace("''", "'").replace("{{{{", "{{")
    test = GateTest("test", "test", ("model",))
    said = [
        objections("model", [test], [Verdict("test", "model", 1, status, None)], {"model": 1})
        for status in ("fail", "error", "skipped")
    ]
    return text + str(said)


@pytest.mark.parametrize("message", messages())
def test_every_message_in_troubleshooting_is_one_of_the_code(message: str, source: str) -> None:
    pieces = [piece.strip() for piece in message.split("...")]

    assert [piece for piece in pieces if piece not in source] == []


# Examples


def example(name: str) -> list[list[str]]:
    text = PAGES["reference/features.md"].split(f"<!-- {name}: checked", 1)[1]
    lines = iter(text.splitlines()[3:])
    return [cells(line) for line in lines_of_table(lines)]


def shown(value: object) -> str:
    return "null" if value is None else str(value)


EVENTS: list[oracle.Event] = [
    (user, kind, datetime.fromisoformat(at)) for user, kind, at in example("events")
]
BUILT = [date(2024, 6, 1) + timedelta(days=n) for n in range(39)]


def test_the_example_of_features_is_what_the_events_give() -> None:
    expected = {row[:2]: row[2:7] for row in oracle.features(EVENTS, BUILT)}

    for user, day, *values, _ in example("features"):
        assert values == [shown(v) for v in expected[user, date.fromisoformat(day)]]
    assert max(day for user, day in expected if user == "ann") == date(2024, 7, 5)
    assert [day for user, day in expected if user == "bob"] == [date(2024, 7, 9)]


def test_the_example_of_late_events_is_what_the_events_give() -> None:
    late = ("u", "click", datetime(2024, 6, 1, 12), datetime(2024, 6, 3))
    for day, *values, _ in example("late"):
        row = oracle.snapshot("u", date.fromisoformat(day), [late])
        assert values == ([shown(v) for v in row[2:6]] if row else ["null"] * 4)


def test_the_example_of_labels_is_what_the_events_give() -> None:
    rows = example("labels")
    labels = [(user, 1.0, datetime.fromisoformat(at)) for user, at, *_ in rows]

    expected = oracle.training(labels, EVENTS, BUILT)

    assert [row[2:7] for row in rows] == [[shown(v) for v in row[3:8]] for row in expected]


def test_the_example_of_the_online_format_follows_the_format() -> None:
    page = PAGES["reference/online-format.md"]
    answers = dict(re.findall(r"^\$ redis-cli \S+ \S+ get (\S+)\n(.+)$", page, re.MULTILINE))
    value, contract_text, meta = answers.values()

    contract = Contract.from_text(contract_text)
    contract_id, values = codec.decode_value(value.encode())

    assert (contract.text, contract.id) == (contract_text, contract_id)
    assert codec.row(contract, values)["event_count_30d"] == 123
    assert list(answers) == [
        codec.key("features", ["user1"]),
        codec.contract_key(contract_id),
        codec.meta_key("features_daily"),
    ]
    assert [row[0] for row in table("reference/online-format.md", "field", "meaning")] == [
        *json.loads(meta),
        "unfinished",
    ]


def test_the_examples_of_keys_are_what_the_codec_writes() -> None:
    rows = table("reference/online-format.md", "user_id", "key")

    assert [codec.key("features", [user]) for user, _ in rows] == [key for _, key in rows]


# Links


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}" for name in PAGES)])
def test_every_relative_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text()), target
