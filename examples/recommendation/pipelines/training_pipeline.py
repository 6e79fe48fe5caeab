"""
The training pipeline: the published training file in; a model and its card out.

    python pipelines/training_pipeline.py

It reads what was published and never the warehouse, so it trains on nothing that is not gated. Rows
with split `train` are fitted on; `holdout`, later in time, only measures. Refuses rows that are not
those of their receipt, and a null: what to do with one is the view's to say, for serving too.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

# Run as a file, only its own folder is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from examples.recommendation.pipelines.model_files import (
    BadModel,
    Card,
    ModelFiles,
    NoModel,
    load_model,
    probability,
    read_card,
    scikit_learn_version,
)
from examples.recommendation.pipelines.place import VIEW, home, shown
from materializer.errors import FeatureStoreError, NotPublished
from materializer.training.files import TrainingFiles
from materializer.training.receipt import Receipt, read_receipt

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

SPLITS = ("train", "holdout")
SETTINGS = {"C": 1.0, "max_iter": 1000}

Metrics = Mapping[str, float | None]


class NotTrainable(FeatureStoreError):
    """Nothing can be learned from the published rows."""


@dataclass(frozen=True, slots=True)
class Rows:
    """
    The rows of one split.

    Attributes:
        vectors: n vectors of c values.
        labels: n labels, 0 or 1.
    """

    vectors: list[list[float]]
    labels: list[int]


def main(argv: Sequence[str] | None = None) -> int:
    """Train, unless that would make the same model again; 0, or the exit code of our error."""
    parser = argparse.ArgumentParser(description="Train a model on what was published.")
    parser.add_argument("--again", action="store_true", help="train also on the same rows")
    given = parser.parse_args(argv)
    try:
        _run(home(), again=given.again)
    except FeatureStoreError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _run(store: Path, *, again: bool) -> None:
    version = scikit_learn_version()
    from sklearn.linear_model import LogisticRegression

    receipt, table = read_published(TrainingFiles(store / "training", VIEW))
    label, columns = _columns(receipt)
    card = Card(
        model="",
        model_sha256="",
        view=VIEW,
        training_tag=receipt.tag,
        content=receipt.checksum,
        parameter_version=str(receipt.parameter_version),
        columns=columns,
        label=label,
        estimator={"class": "sklearn.linear_model.LogisticRegression", "parameters": SETTINGS},
        scikit_learn=version,
        metrics={},
    )
    files = ModelFiles(store / "models", VIEW)
    print(f"{VIEW}: {receipt.rows:,} rows of {receipt.tag}, parameters {card.parameter_version}")
    if not again and (there := _up_to_date(files, card)):
        print(f"up to date: {there.model} was trained on these rows")
        return
    splits = {split: _rows(table, split, label, columns) for split in SPLITS}
    _check(splits["train"], label)
    model = LogisticRegression(**SETTINGS).fit(splits["train"].vectors, splits["train"].labels)
    base = sum(splits["train"].labels) / len(splits["train"].labels)
    metrics = {split: measure(model, rows, base) for split, rows in splits.items()}
    own = files.keep(model, replace(card, metrics=metrics))
    _tell(metrics)
    print(f"kept {shown(own)}")


def read_published(files: TrainingFiles) -> tuple[Receipt, pa.Table]:
    """
    Read the published rows of a view, in an order of their own, and their receipt.

    Raises:
        NotPublished: There are none.
        ReceiptUnreadable: The receipt is none.
        NotTrainable: A publish is at work, or somebody changed the file.
    """
    if not files.receipt.exists():
        raise NotPublished(files.name)
    receipt = read_receipt(files.receipt)
    data = files.parquet.read_bytes()
    if hashlib.sha256(data).hexdigest() != receipt.parquet_sha256:
        raise NotTrainable(f"{files.parquet} is not the file of its receipt; publish again")
    table = pq.read_table(io.BytesIO(data))
    # The order of a table is no one's promise, and sums of doubles depend on it.
    names = [column.name for column in receipt.columns]
    return receipt, table.sort_by([(name, "ascending") for name in names])


def measure(model: LogisticRegression, rows: Rows, base: float) -> Metrics:
    """
    Measure a model on rows.

    Args:
        model: The model.
        rows: n rows.
        base: Share of label 1 among the rows for training; always to say that is the mark to beat.

    Returns:
        `rows`, `share` of label 1, `log_loss`, `log_loss_of_base`, and `auc`; None where the rows
        do not tell.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    n = len(rows.labels)
    if n == 0:
        return {"rows": 0, "share": None, "log_loss": None, "log_loss_of_base": None, "auc": None}
    predicted = [probability(model, vector) for vector in rows.vectors]
    return {
        "rows": n,
        "share": sum(rows.labels) / n,
        "log_loss": float(log_loss(rows.labels, predicted, labels=[0, 1])),
        "log_loss_of_base": float(log_loss(rows.labels, [base] * n, labels=[0, 1])),
        "auc": float(roc_auc_score(rows.labels, predicted)) if len(set(rows.labels)) > 1 else None,
    }


def _columns(receipt: Receipt) -> tuple[str, tuple[str, ...]]:
    """Tell label and vector: a view's columns are keys, time, label, split, then the vector."""
    names = [column.name for column in receipt.columns]
    place = names.index("split")
    return names[place - 1], tuple(names[place + 1 :])


def _up_to_date(files: ModelFiles, card: Card) -> Card | None:
    try:
        there = read_card(files.newest)
        if there.is_of(card):
            load_model(there, files.folder)
            return there
    except (NoModel, BadModel):
        pass
    return None


def _rows(table: pa.Table, split: str, label: str, columns: Sequence[str]) -> Rows:
    """
    Take the rows of a split.

    Raises:
        NotTrainable: A vector has a null.
    """
    rows = [row for row in table.to_pylist() if row["split"] == split]
    for row in rows:
        if null := next((name for name in columns if row[name] is None), None):
            raise NotTrainable(
                f"{null} is null in a row; give it impute in the view's transforms, so that "
                "training and serving fill it alike"
            )
    vectors = [[float(row[name]) for name in columns] for row in rows]
    return Rows(vectors, [row[label] for row in rows])


def _check(rows: Rows, label: str) -> None:
    found = sorted(set(rows.labels))
    if found != [0, 1]:
        raise NotTrainable(
            f"{label} of the {len(rows.labels)} rows for training is {found or 'nothing'}; a model "
            "needs both 0 and 1"
        )


def _tell(metrics: Mapping[str, Metrics]) -> None:
    print("           rows  label 1  log loss  of the base rate    AUC")
    for split, of in metrics.items():
        share, *rest = (of[name] for name in ("share", "log_loss", "log_loss_of_base", "auc"))
        cells = [" " * 8 + "-" if value is None else f"{value:9.3f}" for value in rest]
        part = "      -" if share is None else f"{share:7.1%}"
        print(
            f"  {split:<8} {of['rows']:>5,.0f} {part} {cells[0]} {cells[1]:>17} {cells[2][-6:]:>6}"
        )


if __name__ == "__main__":
    sys.exit(main())
