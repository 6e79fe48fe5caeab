"""
Render the project's macros without a run of dbt: the same files, in dbt's own Jinja environment.

What dbt would give them, a test gives: the model, the columns of relations, the plan.
"""

import re
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from dbt_common.clients import jinja

from tests.support.dbt import ROOT

MACROS = ROOT / "dbt_project" / "macros"


class Refused(Exception):
    """A compiler error of a macro."""


class _Returned(Exception):
    """What a macro returns, on its way out of it."""

    def __init__(self, value: object) -> None:
        self.value = value


class Node(dict[str, Any]):
    """A node of the manifest: its keys are attributes too, as in dbt's Jinja."""

    __getattr__ = dict.__getitem__


def render(name: str, given: Mapping[str, object], **arguments: object) -> str:
    """
    Return what a macro of the project gives.

    Args:
        name: The macro.
        given: What dbt has for it, and functions in place of macros.
        arguments: The macro's own.

    Raises:
        Refused: The macro raises a compiler error.
    """
    macros: dict[str, Callable[..., Any]] = {}
    context: dict[str, object] = {
        "feature_store": macros,
        "return": _return,
        "adapter": SimpleNamespace(dispatch=lambda name, package: macros[f"duckdb__{name}"]),
        "exceptions": SimpleNamespace(raise_compiler_error=_refuse),
        "modules": SimpleNamespace(re=re),
        "execute": True,
        "config": lambda **options: "",
        **given,
    }
    module = _template().make_module(context)
    for key, macro in vars(module).items():
        if key.startswith("dbt_macro__"):
            macros[key.removeprefix("dbt_macro__")] = partial(_call, macro)
    macros.update({key: value for key, value in given.items() if callable(value)})
    return str(macros[name](**arguments))


@cache
def _template() -> Any:
    source = "\n".join(path.read_text() for path in sorted(MACROS.rglob("*.sql")))
    with warnings.catch_warnings():
        # Jinja reads a pattern such as '\\[' as Python does, and warns of it.
        warnings.simplefilter("ignore", DeprecationWarning)
        return jinja.get_environment(None, capture_macros=False).from_string(source)


def _call(macro: Callable[..., object], *args: object, **options: object) -> object:
    try:
        return macro(*args, **options)
    except _Returned as returned:
        return returned.value


def _return(value: object) -> None:
    raise _Returned(value)


def _refuse(message: str) -> None:
    raise Refused(message)
