"""
The inference pipeline: a user and an item in; a probability out, and what it rests on.

    python pipelines/inference_pipeline.py --user_id 1 --item_id 102
    python pipelines/inference_pipeline.py --user_id 1 --item_id 102 --value duration_sec=12.5

It knows the store only by HTTP, and asks for the very version of the parameters that its model was
trained with. Refuses a vector of other columns, and an answer that it would have to guess from.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Run as a file, only its own folder is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from examples.recommendation.pipelines.lookup import BadAnswer, Vector, ask
from examples.recommendation.pipelines.model_files import (
    Card,
    ModelFiles,
    load_model,
    probability,
    read_card,
)
from examples.recommendation.pipelines.place import VIEW, home
from materializer.errors import FeatureStoreError, UsageError

URL = "http://127.0.0.1:8000"


def main(argv: Sequence[str] | None = None) -> int:
    """Predict; 0, or the exit code of our own error."""
    given = _parser().parse_args(argv)
    path = given.model or ModelFiles(home() / "models", VIEW).newest
    try:
        values = dict(_value(text) for text in given.value)
        card = read_card(path)
        keys = {"user_id": given.user_id, "item_id": given.item_id}
        vector = ask(given.url, card, keys, values, given.as_of)
        if vector.columns != card.columns:
            raise BadAnswer(
                f"the columns of version {card.parameter_version} are not those of {card.model}"
            )
        odds = probability(load_model(card, path.parent), vector.values)
    except FeatureStoreError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if given.json:
        print(json.dumps(_document(odds, card, keys, values, vector)))
    else:
        _tell(odds, card, keys, values, vector)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Predict whether a user buys an item, from what the server knows of both."
    )
    for key in ("user_id", "item_id"):
        parser.add_argument(f"--{key}", f"--{key.replace('_', '-')}", required=True)
    parser.add_argument(
        "--value",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a feature that is known only now, in place of the stored one; any number of times",
    )
    parser.add_argument("--as_of", "--as-of", metavar="TIME", help="predict as it was known then")
    parser.add_argument("--url", default=URL, help=f"the server ({URL})")
    parser.add_argument(
        "--model", metavar="CARD", type=Path, help="card of an earlier model (the newest)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _value(text: str) -> tuple[str, Any]:
    """
    Read NAME=VALUE; the value as JSON where it is that, else as the text it is.

    Raises:
        UsageError: There is no name.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--value {text}: write NAME=VALUE, such as duration_sec=12.5")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _document(
    odds: float,
    card: Card,
    keys: Mapping[str, str],
    values: Mapping[str, Any],
    vector: Vector,
) -> dict[str, Any]:
    return {
        **keys,
        "as_of": vector.as_of,
        f"probability_of_{card.label}": odds,
        "model": card.model,
        "parameter_version": card.parameter_version,
        "source": vector.source,
        "values": values,
        "groups": vector.groups,
    }


def _tell(
    odds: float,
    card: Card,
    keys: Mapping[str, str],
    values: Mapping[str, Any],
    vector: Vector,
) -> None:
    print(f"user {keys['user_id']}, item {keys['item_id']}: {card.label} {odds:.1%}")
    print(f"  as of          {vector.as_of}, {vector.source}")
    print(f"  model          {card.model}, parameters {card.parameter_version}")
    for name, facts in vector.groups.items():
        if facts["missing"]:
            found = f"no row ({facts['missing']}); the view imputes what is not given"
        else:
            found = f"known since {facts['available_at']}{', stale' if facts['stale'] else ''}"
        print(f"  {name:<14} {found}")
    for name, value in values.items():
        print(f"  {name:<14} {json.dumps(value)}, given with the request")


if __name__ == "__main__":
    sys.exit(main())
