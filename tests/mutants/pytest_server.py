"""
The server of pytest: it has imported what the tests use, and nothing of the project itself.

So a fork imports the project's modules from whatever copy it runs in.

    python -m tests.mutants.pytest_server ADDRESS
"""

import os
import sys
from functools import partial
from importlib.util import find_spec

import duckdb
import flask
import granian
import hypothesis.stateful
import orjson
import prometheus_client
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
import pydantic
import pyiceberg.catalog.sql
import pyiceberg.io.pyarrow
import pyiceberg.table
import pytest
import redis
import xdist
import yaml

from tests.support.fork_server import ROOT, Json, become, serve

_PRELOADED = (
    duckdb,
    flask,
    granian,
    hypothesis,
    orjson,
    prometheus_client,
    pyarrow,
    pydantic,
    pyiceberg,
    redis,
    xdist,
    yaml,
)
_OWN = ("materializer", "serve", "tests")


def _run(request: Json) -> tuple[int, Json]:
    """Run pytest in a copy of the project; report where the project was imported from."""
    become(request["env"], request["folder"], request["output"])
    for name in [name for name in sys.modules if name.partition(".")[0] in _OWN]:
        del sys.modules[name]
    sys.path[:] = [request["folder"], *(path for path in sys.path if path not in ("", str(ROOT)))]
    spec = find_spec("materializer")
    assert spec is not None
    return int(pytest.main(request["args"])), {"imported_from": spec.origin}


if __name__ == "__main__":
    serve(sys.argv[1], lambda request: partial(_run, request))
    os._exit(0)
