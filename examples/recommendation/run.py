"""
The three pipelines, one after another, with a server for the last: `make recommendation`.

Owns what is shown to a newcomer, and the words at the end. Each pipeline is run as a person runs
it; this knows no more of them than their command lines.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from examples.recommendation.pipelines.model_files import Card, ModelFiles, read_card
from examples.recommendation.pipelines.place import EXAMPLE, SAMPLE_NOW, VIEW, home
from examples.steps import Shell
from materializer.errors import FeatureStoreError

PREDICT = ("pipelines/inference_pipeline.py", "--user_id", "1", "--item_id", "102")


def main() -> int:
    """Run all three; 0, or the exit code of what failed."""
    started = time.monotonic()
    store = home()
    shell = Shell(EXAMPLE, {"FEATURE_STORE_HOME": str(store), "FEATURE_STORE_NOW": SAMPLE_NOW})
    print("Will this user buy this item? Made-up data: 400 looks of 42 users at 21 items.")
    try:
        _title("Feature pipeline: files in; features gated, published and pushed")
        shell.run(["python", "pipelines/feature_pipeline.py"])
        _title("Training pipeline: the published training file in; a model out")
        shell.run(["python", "pipelines/training_pipeline.py"])
        _title("Inference pipeline: a user and an item in; a probability out")
        with shell.server() as base:
            url = [] if base.endswith(":8000") else ["--url", base]
            shell.run(["python", *PREDICT, *url])
            shell.run(["python", *PREDICT, "--value", "duration_sec=120", *url])
            shell.run(["python", *PREDICT, "--as_of", "2024-01-10T12:00:00Z", *url])
        card = read_card(ModelFiles(store / "models", VIEW).newest)
    except FeatureStoreError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    print(_summary(card))
    print(_how_to_go_on(store))
    return 0


def _title(text: str) -> None:
    print(f"\n=== {text}", flush=True)


def _summary(card: Card) -> str:
    holdout = card.metrics["holdout"]
    return (
        "\nWhat this shows: one definition of the features made the rows that the model learned "
        "from, and\nthe vectors that it was given, by the same parameters, "
        f"{card.parameter_version}.\n"
        "What it does not show: a good model. The data are made up, and "
        f"{holdout['rows']:,.0f} held-out rows tell little:\n"
        f"their log loss is {holdout['log_loss']:.3f}, and {holdout['log_loss_of_base']:.3f} when "
        "one always says the base rate."
    )


def _how_to_go_on(store: Path) -> str:
    return (
        "\nGo on in this shell:\n"
        "  source .venv/bin/activate\n"
        "  cd examples/recommendation\n"
        f"  export FEATURE_STORE_HOME={store} FEATURE_STORE_NOW={SAMPLE_NOW}\n"
        "  feature-server                    # then, in another shell:\n"
        f"  python {' '.join(PREDICT)} --json\n"
        "  python pipelines/feature_pipeline.py --train-until 2024-01-20\n"
        "  python pipelines/training_pipeline.py    # a second model, of a second version\n"
        "See README.md there for the rest."
    )


if __name__ == "__main__":
    sys.exit(main())
