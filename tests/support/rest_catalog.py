"""A small Iceberg REST catalog over PyIceberg's SQL catalog, which can lose replies of commits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from pyiceberg.catalog.rest import CreateTableRequest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchNamespaceError, NoSuchTableError
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.table import CommitTableRequest, Table
from werkzeug.serving import make_server


class RestCatalogServer:
    """
    The catalog of a folder, over HTTP.

    Attributes:
        url: Its address.
        repeated: So many commits are sent twice, as a proxy does that lost the first reply: the
            client gets the second reply, a conflict.
        lost: So many commits land, and their reply is lost: the client gets a 502.
        refused: So many commits get a conflict and are not made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.repeated = self.lost = self.refused = 0
        self.commits = 0
        self._server = make_server("127.0.0.1", 0, self._app())
        self.url = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def _catalog(self) -> Iterator[SqlCatalog]:
        # One each request: an SQLite connection belongs to its thread.
        uri, data = f"sqlite:///{self._folder}/catalog.db", f"file://{self._folder}/data"
        catalog = SqlCatalog("rest", uri=uri, warehouse=data)
        try:
            yield catalog
        finally:
            catalog.close()

    def _commit(self) -> Response:
        body = CommitTableRequest.model_validate_json(request.data)
        name = (*body.identifier.namespace.root, body.identifier.name)
        self.commits += 1
        if self.refused:
            self.refused -= 1
            raise CommitFailedException("refused")
        with self._catalog() as catalog:
            catalog.commit_table(catalog.load_table(name), body.requirements, body.updates)
            if self.repeated:
                self.repeated -= 1
                catalog.commit_table(catalog.load_table(name), body.requirements, body.updates)
            if self.lost:
                self.lost -= 1
                return Response("lost", 502)
            return _table(catalog.load_table(name))

    def _app(self) -> Flask:
        app = Flask("rest_catalog")
        self._add_namespaces(app, "/v1/namespaces/<space>")
        self._add_tables(app, "/v1/namespaces/<space>/tables")

        @app.errorhandler(CommitFailedException)
        def conflict(error: Exception) -> tuple[dict[str, Any], int]:
            return _error(error, 409), 409

        @app.errorhandler(NoSuchTableError)
        @app.errorhandler(NoSuchNamespaceError)
        def missing(error: Exception) -> tuple[dict[str, Any], int]:
            return _error(error, 404), 404

        return app

    def _add_namespaces(self, app: Flask, space: str) -> None:
        @app.get("/v1/config")
        def config() -> dict[str, Any]:
            return {"defaults": {}, "overrides": {}}

        @app.post("/v1/namespaces")
        def create_space() -> dict[str, Any]:
            with self._catalog() as catalog:
                catalog.create_namespace_if_not_exists(tuple(request.json["namespace"]))
            return {"namespace": request.json["namespace"], "properties": {}}

        @app.get(space)
        def load_space(space: str) -> dict[str, Any]:
            with self._catalog() as catalog:
                properties = catalog.load_namespace_properties(space)
            return {"namespace": [space], "properties": properties}

        @app.post(f"{space}/properties")
        def update_space(space: str) -> dict[str, Any]:
            with self._catalog() as catalog:
                catalog.update_namespace_properties(space, updates=request.json["updates"])
            return {"removed": [], "updated": [*request.json["updates"]], "missing": []}

    def _add_tables(self, app: Flask, tables: str) -> None:
        table = f"{tables}/<name>"

        @app.get(tables)
        def list_tables(space: str) -> dict[str, Any]:
            with self._catalog() as catalog:
                names = [name for *_, name in catalog.list_tables(space)]
            return {"identifiers": [{"namespace": [space], "name": name} for name in names]}

        @app.post(tables)
        def create_table(space: str) -> Response:
            body = CreateTableRequest.model_validate({"location": None, **request.json})
            with self._catalog() as catalog:
                made = catalog.create_table(
                    (space, body.name),
                    body.table_schema,
                    partition_spec=body.partition_spec or UNPARTITIONED_PARTITION_SPEC,
                    properties=body.properties,
                )
            return _table(made)

        @app.get(table)
        def load_table(space: str, name: str) -> Response:
            with self._catalog() as catalog:
                return _table(catalog.load_table((space, name)))

        @app.delete(table)
        def drop_table(space: str, name: str) -> Response:
            with self._catalog() as catalog:
                catalog.drop_table((space, name))
            return Response(status=204)

        app.post(table, endpoint="commit")(lambda space, name: self._commit())


def _table(table: Table) -> Response:
    location, metadata = table.metadata_location, table.metadata.model_dump_json()
    text = f'{{"metadata-location": "{location}", "metadata": {metadata}}}'
    return Response(text, content_type="application/json")


def _error(error: Exception, code: int) -> dict[str, Any]:
    return {"error": {"message": str(error), "type": type(error).__name__, "code": code}}
