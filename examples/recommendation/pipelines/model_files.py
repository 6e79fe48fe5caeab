"""
The files of a trained model: the model, and a card that says what it was trained on.

Owns their names and the card's form. A model is never written over: each has a name of its own, and
the newest card is a copy of the last one's, moved into place when all else is there. Refuses to
load a model that is not the one of its card, or was made by another scikit-learn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materializer.errors import FeatureStoreError, UsageError

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

_TRAIN = "python pipelines/training_pipeline.py"


class NoModel(UsageError):
    """Nothing was trained yet."""

    def __init__(self, card: Path) -> None:
        super().__init__(f"no model yet: {card} does not exist; run: {_TRAIN}")


class NoScikitLearn(UsageError):
    """The extra `training` is not installed."""

    def __init__(self) -> None:
        super().__init__("scikit-learn is missing; run: pip install 'dbt-feature-store[training]'")


class BadModel(FeatureStoreError):
    """A model or its card cannot be used."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}; train again: {_TRAIN} --again")


@dataclass(frozen=True, slots=True)
class Card:
    """
    What a model is, and what it was trained on.

    Attributes:
        model: Name of its file, next to the card.
        model_sha256: Hash of that file.
        view: The feature view.
        training_tag: The published build it was trained on; its receipt is kept under this name.
        content: Content of those rows, as the receipt has it.
        parameter_version: Version of the view's parameters that made them.
        columns: The c columns of a vector, in order.
        label: The column that it predicts.
        estimator: Class and parameters.
        scikit_learn: The version that trained it.
        metrics: Of each split, by name.
    """

    model: str
    model_sha256: str
    view: str
    training_tag: str
    content: str
    parameter_version: str
    columns: tuple[str, ...]
    label: str
    estimator: Mapping[str, Any]
    scikit_learn: str
    metrics: Mapping[str, Mapping[str, float | None]]

    def is_of(self, other: Card) -> bool:
        """Return whether training again would only make the same model again."""
        same = ("view", "content", "parameter_version", "columns", "estimator", "scikit_learn")
        return all(getattr(self, name) == getattr(other, name) for name in same)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """
    The models of one view.

    Attributes:
        folder: Where they are.
        view: Name of the view.
    """

    folder: Path
    view: str

    @property
    def newest(self) -> Path:
        """The card of the model that was trained last."""
        return self.folder / f"{self.view}.json"

    def keep(self, model: LogisticRegression, card: Card) -> Path:
        """
        Write a model and its card, and make it the newest.

        Args:
            model: The model.
            card: Its card, without name and hash of the model, which are reported here.

        Returns:
            Where its own card is, which stays.
        """
        import skops.io

        data: bytes = skops.io.dumps(model)
        digest = hashlib.sha256(data).hexdigest()
        name = f"{card.training_tag}.{digest[:8]}"
        made = replace(card, model=f"{name}.skops", model_sha256=digest)
        self.folder.mkdir(parents=True, exist_ok=True)
        _replace(self.folder / made.model, data)
        text = (json.dumps(asdict(made), indent=2) + "\n").encode()
        own = self.folder / f"{name}.json"
        for path in (own, self.newest):
            _replace(path, text)
        return own


def scikit_learn_version() -> str:
    """
    Return the version that trains and predicts here.

    Raises:
        NoScikitLearn: There is none.
    """
    # Imported late, here and below: it takes a second, and most refusals do not need it.
    try:
        import skops.io  # noqa: F401
        from sklearn import __version__
    except ModuleNotFoundError:
        raise NoScikitLearn from None
    return str(__version__)


def read_card(path: Path) -> Card:
    """
    Read a card.

    Raises:
        NoModel: There is none.
        BadModel: It is something else.
    """
    try:
        body = json.loads(path.read_text())
        if sorted(body) != sorted(field.name for field in fields(Card)):
            raise BadModel(path, "is not the card of a model")
        return Card(**{**body, "columns": tuple(body["columns"])})
    except FileNotFoundError:
        raise NoModel(path) from None
    except (OSError, ValueError, TypeError) as error:
        raise BadModel(path, f"cannot be read: {error}") from None


def load_model(card: Card, folder: Path) -> LogisticRegression:
    """
    Load the model of a card.

    Raises:
        BadModel: The file is missing or another one, or another scikit-learn is installed.
    """
    version = scikit_learn_version()
    import skops.io

    path = folder / card.model
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadModel(path, f"cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != card.model_sha256:
        raise BadModel(path, "is not the model of its card")
    if version != card.scikit_learn:
        raise BadModel(path, f"is of scikit-learn {card.scikit_learn}, and {version} is installed")
    # Types beyond scikit-learn's own could run code when they are read; this model has none.
    return skops.io.loads(data, trusted=[])


def probability(model: LogisticRegression, vector: Sequence[float]) -> float:
    """
    Return how probable the label 1 is.

    One row at a time: a product of a whole matrix may differ from it in the last bit, and what is
    predicted must not depend on how many were requested.

    Args:
        model: The model.
        vector: c values.
    """
    [odds] = model.predict_proba([[float(value) for value in vector]])
    return float(odds[list(model.classes_).index(1)])


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_bytes(data)
    fresh.replace(path)
