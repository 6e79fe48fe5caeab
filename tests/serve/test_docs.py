"""docs/reference/http.md agrees with the server: routes, codes, options, and its examples."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from materializer.config import Settings
from serve import create_app
from serve.__main__ import program
from serve.errors import CODES
from tests.serve.support import ROOT, FeatureServer

PAGE = (ROOT / "docs" / "reference" / "http.md").read_text()
SERVING = (ROOT / "docs" / "how-to" / "serving.md").read_text()
ROUTES = (ROOT / "docs" / "maintainers" / "routes.md").read_text()
EXAMPLES = re.findall(r"```sh\n(curl [^\n]+)\n```\n\n```json\n(.*?)```", PAGE, re.DOTALL)


def test_the_table_of_errors_is_that_of_the_code() -> None:
    reported = {
        code: int(status) for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)` \|", PAGE, re.M)
    }

    assert reported == {code: status for code, (status, _) in CODES.items()}


def test_the_table_of_routes_is_that_of_the_application(tmp_path: Path) -> None:
    app = create_app(Settings(tmp_path))
    routes = {
        (method, re.sub(r"<id:\w+>", "<id>", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }

    reported = set(re.findall(r"^\| `(GET|POST) ([^`?]+)", PAGE, re.M))

    assert reported == routes


@pytest.mark.parametrize(
    ("command", "answer"), EXAMPLES, ids=["online", "offline", "group", "batch"]
)
def test_an_example_answers_as_shown(http: FeatureServer, command: str, answer: str) -> None:
    assert "127.0.0.1:8000" in command
    words = shlex.split(command.replace("127.0.0.1:8000", f"127.0.0.1:{http.port}"))

    done = subprocess.run([*words, "-s"], capture_output=True, text=True, check=True)

    assert json.dumps(json.loads(done.stdout)) == json.dumps(json.loads(answer))


def test_the_example_of_an_error_is_one(http: FeatureServer) -> None:
    (shown,) = re.findall(r"```json\n(\{\"error\".*?)\n```", PAGE)

    assert http.online("nobody").body == json.loads(shown)


def test_the_example_of_an_odd_id_finds_it(http: FeatureServer) -> None:
    (target,) = re.findall(r"curl http://127.0.0.1:8000(\S+) +# the id a/b", PAGE)

    assert http.get(target).body["user_id"] == "a/b"


def test_the_example_of_a_description_is_that_of_the_code() -> None:
    (shown,) = re.findall(r"```python\n(@blueprint.*?)```", ROUTES, re.DOTALL)

    assert shown in (ROOT / "serve" / "routes" / "online.py").read_text()


def test_every_option_in_the_page_exists() -> None:
    known = {option for parameter in program.params for option in parameter.opts}
    lines = [line.split("#")[0] for line in SERVING.splitlines()]
    lines = [line for line in lines if line.startswith("feature-server")]

    assert lines
    for line in lines:
        program.make_context("feature-server", shlex.split(line)[1:])
    assert {"--host", "--port", "--workers"} <= known
