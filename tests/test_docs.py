"""The docs agree with the code: options, settings, macros, tests, messages, examples, links."""

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
from materializer.registry import Contract, FeatureGroup
from materializer.registry.meta import ColumnMeta, TrainingSetMeta, ViewMeta
from materializer.registry.types import published_type
from materializer.training.receipt import Receipt
from tests.support import oracle
from tests.support.command_lines import OPTIONS, PROGRAMS, parse

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "dbt_project"
PAGES = {
    path.relative_to(ROOT / "docs").as_posix(): path.read_text()
    for path in (ROOT / "docs").rglob("*.md")
}
ALL_TEXT = "\n".join([(ROOT / "README.md").read_text(), *PAGES.values()])
PYTHON = [*(ROOT / "materializer").rglob("*.py"), *(ROOT / "serve").rglob("*.py")]
SQL = [*PROJECT.rglob("*.sql"), *PROJECT.rglob("*.yml")]
WORDS_PER_CELL = 40


def read(paths: Iterable[Path]) -> str:
    return "\n".join(path.read_text() for path in paths)


def table(page: str, *header: str) -> list[list[str]]:
    """Return the rows of the table with these first columns, without backticks around cells."""
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


def first_cells(page: str, *header: str) -> list[str]:
    return [row[0] for row in table(page, *header)]


# Command lines


@pytest.mark.parametrize("command", OPTIONS)
def test_every_command_and_option_is_in_the_docs(command: str) -> None:
    assert [name for name in (command, *OPTIONS[command]) if f"`{name}" not in ALL_TEXT] == []


def test_the_table_of_options_is_that_of_the_code() -> None:
    documented = {
        option
        for cell in first_cells("reference/commands.md", "option", "meaning")
        for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", cell)
    }

    assert documented == {option for options in OPTIONS.values() for option in options}


def test_the_table_of_commands_gives_each_its_own_options() -> None:
    shared = {"-h", "--help", "--project-dir", "--target", "--json", "--debug", "--group"}
    commands = {name: OPTIONS[name] - shared for name in OPTIONS if name != "materializer"}

    assert commands == {
        row[0]: set(re.findall(r"--[a-z-]+", row[2]))
        for row in table("reference/commands.md", "command", "what it does", "its own options")
    }


def command_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", ALL_TEXT, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith(PROGRAMS)]


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_in_the_docs_parses(line: str) -> None:
    parse(line)


def test_the_table_of_exit_codes_is_that_of_the_code() -> None:
    rows = table("reference/commands.md", "code", "meaning")

    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


# Settings


def test_the_table_of_environment_variables_is_what_the_code_reads() -> None:
    source = read([*PYTHON, *SQL, ROOT / "profiles.yml", ROOT / "dbt_project.yml"])
    reads = r"(?<!request\.)(?:\benv(?:iron)?(?:\.get\(|\[)|env_var\(|_ENV = )\s*[\"'](\w+)[\"']"

    documented = first_cells("reference/settings.md", "variable", "meaning", "default")

    assert {name.removesuffix("*") for name in documented} == set(re.findall(reads, source))


def test_the_table_of_dbt_vars_is_what_the_project_reads() -> None:
    source = read([*SQL, ROOT / "dbt_project.yml", ROOT / "profiles.yml"])
    used = set(re.findall(r"(?<!env_)\bvar\(\s*'(\w+)'", source))
    used |= set(re.findall(r"read_input\(\s*'(\w+)'", source))
    declared = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]

    rows = table("reference/settings.md", "var", "meaning", "default")
    defaults = {row[0]: row[2] for row in rows}

    assert set(defaults) == used
    assert {name: defaults[name] for name in declared} == {k: str(v) for k, v in declared.items()}
    # What a project that has this one as a package gets.
    of_macros = dict(re.findall(r"_days\('(\w+)', var\('\w+', none\), (\d+)\)", source))
    assert of_macros == {name: defaults[name] for name in declared}


def test_the_table_of_the_profile_is_that_of_the_file() -> None:
    profile = yaml.safe_load((ROOT / "profiles.yml").read_text())["feature_store"]

    documented = first_cells("reference/settings.md", "setting", "value", "why")

    assert documented == list(profile["outputs"][profile["target"]])


def test_the_tables_of_meta_keys_are_those_of_the_code() -> None:
    from_the_model = {
        *("name", "unique_id", "relation_name", "description", "columns", "tags"),
        *("version", "latest_version", "deprecation_date", "lineage"),
        *("store_id", "definition"),
    }
    group_keys = {field.name for field in fields(FeatureGroup)} - from_the_model

    documented = {
        kind: first_cells("reference/meta.md", f"{kind}key", "meaning", "default")
        for kind in ("", "column ", "training set ", "view ")
    }

    assert set(documented[""]) == group_keys
    assert documented["column "] == list(ColumnMeta.model_fields)
    assert documented["training set "] == list(TrainingSetMeta.model_fields)
    assert documented["view "] == list(ViewMeta.model_fields)


def test_the_table_of_types_is_that_of_the_code() -> None:
    rows = table("reference/types.md", "in the contract", "published as", "Iceberg")

    published = {
        declared: row[1].strip("`")
        for row in rows
        for declared in re.findall(r"[a-z]+(?:\(p,s\))?", row[0])
        if not row[0].startswith("`T[]`")
    }

    assert {
        declared: published_type(declared.replace("p,s", "10,2")) for declared in published
    } == {declared: kind.replace("p,s", "10,2") for declared, kind in published.items()}


def test_the_tables_of_records_are_those_of_the_project() -> None:
    path = PROJECT / "models" / "staging" / "records.yml"
    declared = yaml.safe_load(path.read_text())["sources"][0]["tables"]

    documented = [
        *first_cells("reference/records.md", "table", "one row per", "written"),
        *first_cells("reference/records.md", "view", "one row per"),
    ]

    assert sorted(documented) == sorted(table["name"] for table in declared)


def test_the_table_of_a_receipt_is_that_of_the_code() -> None:
    cells_of_fields = first_cells("reference/records.md", "field", "meaning")

    assert re.findall(r"\w+", " ".join(cells_of_fields)) == list(Receipt.model_fields)


# Macros and generic tests


def documented_macros() -> list[str]:
    return [
        macro["name"]
        for path in (PROJECT / "macros").rglob("_macros.yml")
        for macro in yaml.safe_load(path.read_text())["macros"]
    ]


def signatures(kind: str, folder: Path) -> dict[str, str]:
    """Return the arguments of each macro or generic test, as its SQL has them."""
    found = re.findall(rf"{{%-?\s*{kind}\s+(\w+)\(([^)]*)\)", read(folder.rglob("*.sql")))
    return {name: re.sub(r"\s+", " ", arguments).strip() for name, arguments in found}


def documented_calls() -> dict[str, str]:
    """Return the arguments of each public macro in the reference, as the page has them."""
    page = PAGES["reference/macros.md"].partition("## Internal macros")[0]
    return {name: text for name, text in re.findall(r"`(\w+)\(([^`]*)\)`", page) if name != "ref"}


def test_every_macro_is_in_the_reference_with_its_arguments() -> None:
    rows = table("reference/macros.md", "folder of `dbt_project/macros`", "macros")
    internal = {name for row in rows for name in re.findall(r"\w+", row[1])}
    defined = signatures("macro", PROJECT / "macros")
    # A hook is shown as it is called.
    public = {**documented_calls(), "record_build": defined["record_build"]}

    assert {*public, *internal} == set(documented_macros())
    assert public == {name: defined[name] for name in public}


def test_every_argument_of_a_macro_in_the_reference_is_explained() -> None:
    page = PAGES["reference/macros.md"]
    arguments = {
        argument.partition("=")[0].strip()
        for call in documented_calls().values()
        for argument in call.split(",")
        if argument
    }
    explained = {
        name
        for first in re.findall(r"^\| ([^|]*) \| [^|]* \| [^|]* \|$", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", first)
    }
    in_the_text = {"model_name", "ts", "arg_dict"}

    assert arguments - explained == in_the_text


def test_the_table_of_generic_tests_is_that_of_the_code() -> None:
    rows = table("reference/gate-tests.md", "test", "arguments", "passes if")
    defined = signatures("test", PROJECT / "tests" / "generic")

    given = {
        name: "" if cell == "none" else f", {cell.replace('`', '')}" for name, cell, *_ in rows
    }
    assert {name: f"model{arguments}" for name, arguments in given.items()} == defined


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
    documented = {
        row[0]: set(re.findall(r"\w+", row[2]))
        for row in table("reference/gate-tests.md", "test", "what it proves", "guards")
    }

    assert documented == gate_tests()


# Messages


def messages() -> list[str]:
    text = PAGES["how-to/troubleshooting.md"]
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


@pytest.fixture(scope="module")
def source() -> str:
    """Return all source text, with the pieces of each literal joined."""
    text = re.sub(r'"\s*\n\s*f?"', "", read([*PYTHON, *SQL]))
    text = re.sub(r'"\s*\n?\s*~ "', "", text)
    return text.replace("''", "'").replace("{{{{", "{{")


@pytest.mark.parametrize("message", messages())
def test_every_message_in_troubleshooting_is_one_of_the_code(message: str, source: str) -> None:
    pieces = [piece.strip() for piece in message.split("...")]

    assert [piece for piece in pieces if piece not in source] == []


# Examples


def example(name: str) -> list[list[str]]:
    text = next(page for page in PAGES.values() if f"<!-- {name}: checked" in page)
    lines = iter(text.split(f"<!-- {name}: checked", 1)[1].splitlines()[3:])
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


# The pages themselves


LINKED = [
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/README.md"),
    *(f"docs/{name}" for name in PAGES),
    *("examples/movielens/README.md", "examples/recommendation/README.md"),
]
DECISIONS = sorted(name for name in PAGES if re.match(r"adr/\d{4}-", name))


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: str) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text())
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", LINKED)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for target in links(page):
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text()), target


def test_the_index_links_every_page() -> None:
    linked = {target.partition("#")[0] for target in links("docs/index.md")}
    linked |= {f"adr/{target}" for target in links("docs/adr/README.md")}
    linked |= {f"maintainers/{target}" for target in links("docs/maintainers/tests.md")}

    assert {*PAGES} - linked == {"index.md", "benchmarks/results.md"}


@pytest.mark.parametrize("page", PAGES)
def test_no_cell_of_a_table_is_a_paragraph(page: str) -> None:
    rows = [line for line in PAGES[page].splitlines() if line.startswith("|")]
    long = [cell for row in rows for cell in cells(row) if len(cell.split()) > WORDS_PER_CELL]

    assert page == "maintainers/mutants.md" or long == []


@pytest.mark.parametrize("page", DECISIONS)
def test_a_decision_has_date_context_and_what_was_rejected(page: str) -> None:
    text = PAGES[page]
    number = int(page[len("adr/") :][:4])

    assert re.match(rf"# {number}\. .+\n\nDate: 20\d\d-\d\d-\d\d\. Status: \w", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[:3] == ["Context", "Decision", "Rejected"]
    assert f"({page.removeprefix('adr/')})" in PAGES["adr/README.md"]


def test_pre_commit_runs_what_make_lint_runs() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]

    def programs(text: str) -> list[str]:
        return re.findall(r"(?:\$\(BIN\)|\.venv/bin)/(\w+(?: (?:check|format|lint)\b)?)", text)

    assert [programs(hook["entry"])[0] for hook in hooks] == programs(recipe[1])


def test_every_place_has_the_same_version() -> None:
    project = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    dbt_project = yaml.safe_load((ROOT / "dbt_project.yml").read_text())
    released = re.findall(r"^## \[(\d.*)\] - ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert project is not None
    assert project[1] == dbt_project["version"] == released[0]
