"""Whether a running server does what its `/openapi.json` says, asked by Schemathesis."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Examples of each route, beside those that cover its schema; found by the same seed each time.
EXAMPLES = 10
SEED = 20240331


def assert_conforms(
    port: int,
    folder: Path,
    known: Mapping[str, Sequence[object]],
    *,
    phases: Sequence[str] = ("coverage", "fuzzing"),
    empty: Sequence[str] = (),
) -> None:
    """
    Ask every route with valid and invalid requests; each answer must be as the document says.

    Args:
        port: Where the server listens.
        folder: A folder for what the tool writes.
        known: Values that lead to a row, by the name of the parameter; half the requests of a key
            column have one of them, and all requests of `as_of`, for most times are in the future.
        phases: What the tool does: cover each edge of the schemas, draw at random.
        empty: Paths of which this server has nothing to find, which are not asked.

    Raises:
        AssertionError: Some are not; it holds the tool's report.
    """
    config = folder / "schemathesis.toml"
    config.write_text("\n".join(_settings(known)))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    command += [f"http://127.0.0.1:{port}/openapi.json", f"--seed={SEED}", f"-n{EXAMPLES}"]
    command += [f"--phases={','.join(phases)}", "--generation-database=none", "--no-color"]
    command += [f"--exclude-path={path}" for path in empty]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _settings(known: Mapping[str, Sequence[object]]) -> list[str]:
    lists = [f"[dictionaries.{name}]\nvalues = {json.dumps(some)}" for name, some in known.items()]
    uses = [
        f'"{place}{name}" = {{ dictionary = "{name}", probability = {_share(name)} }}'
        for name in known
        for place in ("path.", "query.", "body.", "body.keys[*].")
    ]
    # A key that is never found would leave the answers with rows unseen.
    found = '[warnings]\nfail-on = ["missing_test_data"]'
    return [*lists, "[parameters]", *uses, found]


def _share(name: str) -> float:
    return 1.0 if name == "as_of" else 0.5
