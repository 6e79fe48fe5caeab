"""
The Iceberg catalog: where it is, what it is called, and the names of everything in it.

Responsible for the layout that publish, push and serve share: names of tables and of properties,
the store id, and what the properties of a snapshot say. Does not know the columns of any group.
"""

from __future__ import annotations

import os
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import duckdb
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot, ancestors_of
from pyiceberg.utils.config import Config
from sqlalchemy import URL, select

from materializer.config import Settings
from materializer.errors import FeatureStoreError, OfflineStoreUnavailable, UsageError, explain
from materializer.offline.commits import look_before_failing

NAMESPACE = "feature_store"

STORE_ID = "feature-store.id"
REGISTRY = "feature-store.registry"
REGISTRY_CRC = "feature-store.registry-crc"
LEDGER_SEQUENCE = "feature-store.ledger-sequence"
WAREHOUSE_ID = "feature-store.warehouse-id"
NEWEST_DAY = "feature-store.newest-day"
BUILT_DAYS = "feature-store.built-days"
GROUP_SNAPSHOT_ID = "feature-store.group-snapshot-id"

# Columns of the spans, next to the key.
FIRST_DAY = "first_day"
LAST_DAY = "last_day"

# DuckDB's other errors are about a query, not about files.
_OF_FILES = (duckdb.IOException, duckdb.InvalidInputException)
_SPANS = "_spans_"
_ENV = "PYICEBERG_CATALOG__"


def table_name(group: str) -> str:
    """Return the Iceberg table of a group, or of another published model."""
    return f"{NAMESPACE}.{group}"


def spans_name(group: str) -> str:
    """Return the table of a group's activity spans."""
    return f"{NAMESPACE}.{_SPANS}{group}"


def open_catalog(
    settings: Settings,
    environ: Mapping[str, str] | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> Catalog:
    """
    Open the catalog: the local one in the home (SQLite and files), made when there is none.

    When *environ*, by default that of the process, has `PYICEBERG_CATALOG__<NAME>__...`, it is that
    catalog instead. PyIceberg itself reads the values, from the process and from its file
    `.pyiceberg.yaml`. A catalog that only the file names is not used, and *note* is called with a
    line that says so.

    Raises:
        OfflineStoreUnavailable: It cannot be opened.
        UsageError: Several catalogs are named, or a file URI cannot hold the path of the home.
    """
    if name := _named_catalog(os.environ if environ is None else environ):
        with translate_errors(name):
            return look_before_failing(load_catalog(name))
    root = settings.home / "iceberg"
    with translate_errors(".pyiceberg.yaml"):
        unused = sorted(Config().config.get("catalog", {}))
    if unused:
        # It may be somebody's for other work, so it must not become the store by itself.
        variable = f"{_ENV}{unused[0].upper().replace('-', '_')}__TYPE"
        note(
            f"the offline store is {root}, and not catalog {' or '.join(unused)} of "
            f".pyiceberg.yaml; to use that, set {variable}"
        )
    for sign in "#?":
        if sign in str(root):
            raise UsageError(f"FEATURE_STORE_HOME={settings.home}: a file URI cannot hold {sign!r}")
    # In a plain text SQLAlchemy would decode a % in the path.
    database = URL.create("sqlite", database=(root / "catalog.db").as_posix())
    uri = database.render_as_string(hide_password=False)
    with translate_errors(str(root)):
        (root / "data").mkdir(parents=True, exist_ok=True)
        catalog = SqlCatalog("local", uri=uri, warehouse=f"file://{root.as_posix()}/data")
    return look_before_failing(catalog)


def _named_catalog(environ: Mapping[str, str]) -> str | None:
    names = {
        # As PyIceberg derives the name from the variable.
        key[len(_ENV) :].split("__")[0].lower().replace("_", "-")
        for key in environ
        if key.upper().startswith(_ENV)
    }
    if len(names) > 1:
        if "default" in names:
            return "default"
        raise UsageError(
            f"{_ENV}... names several catalogs ({', '.join(sorted(names))}); keep one, "
            "or call the one to use DEFAULT"
        )
    return names.pop() if names else None


def full_name(table: Table) -> str:
    """Return a table's name with its namespace."""
    return ".".join(table.name())


@contextmanager
def translate_errors(address: str) -> Iterator[None]:
    """Raise `OfflineStoreUnavailable` for what the catalog, its database or its files raise."""
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:
        # PyIceberg's errors share no base class, and what a damaged file raises can be anything.
        if isinstance(error, duckdb.Error) and not isinstance(error, _OF_FILES):
            raise
        raise OfflineStoreUnavailable(address, explain(error)) from error


def find_table(catalog: Catalog, name: str) -> Table | None:
    """Load a table at its current state, or None when there is none."""
    with translate_errors(name):
        try:
            return catalog.load_table(name)
        except NoSuchTableError:
            return None


def metadata_location(catalog: Catalog, name: str) -> str | None:
    """
    Return where a table's current metadata is: it changes with every commit, and only then.

    One short query on an SQL catalog; others load the table.
    """
    if not isinstance(catalog, SqlCatalog):
        table = find_table(catalog, name)
        return None if table is None else table.metadata_location
    namespace, _, table_part = name.rpartition(".")
    query = select(IcebergTables.metadata_location).where(
        IcebergTables.catalog_name == catalog.name,
        IcebergTables.table_namespace == namespace,
        IcebergTables.table_name == table_part,
    )
    with translate_errors(catalog.name), catalog.engine.connect() as connection:
        location: str | None = connection.execute(query).scalar()
        return location


def publish_summary(table: Table, snapshot: Snapshot | None) -> Mapping[str, str]:
    """Return the snapshot properties of the last publish up to a snapshot, if there was one."""
    # Another engine's maintenance commits snapshots too, without our properties.
    for ancestor in ancestors_of(snapshot, table.metadata):
        if ancestor.summary and ancestor.summary[WAREHOUSE_ID] is not None:
            return ancestor.summary.additional_properties
    return {}


def described_snapshot(spans: Table | None) -> int | None:
    """Return the snapshot of the group that a spans table describes, or None."""
    snapshot = spans and spans.current_snapshot()
    described = snapshot and snapshot.summary and snapshot.summary[GROUP_SNAPSHOT_ID]
    return int(described) if described else None


def registry_properties(entry: str) -> dict[str, str]:
    """Return the properties of a table that hold a registry entry and its checksum."""
    return {REGISTRY: entry, REGISTRY_CRC: f"{zlib.crc32(entry.encode()):08x}"}


def registry_entry(table: Table) -> str:
    """Return the registry entry that was published with a table; raise if it is another one."""
    with translate_errors(full_name(table)):
        entry = table.properties[REGISTRY]
        if registry_properties(entry)[REGISTRY_CRC] != table.properties[REGISTRY_CRC]:
            raise KeyError("the registry entry is not the one that was written")
        return entry


def published_groups(catalog: Catalog) -> tuple[str, ...]:
    """Name the groups that have a spans table, which is what a publish commits last."""
    with translate_errors(catalog.name):
        try:
            names = [identifier[-1] for identifier in catalog.list_tables(NAMESPACE)]
        except NoSuchNamespaceError:
            return ()
    return tuple(sorted(name[len(_SPANS) :] for name in names if name.startswith(_SPANS)))


def store_id(catalog: Catalog) -> str | None:
    """Return the store's id, or None before the first publish."""
    with translate_errors(catalog.name):
        try:
            return catalog.load_namespace_properties(NAMESPACE).get(STORE_ID)
        except NoSuchNamespaceError:
            return None


def ensure_store(catalog: Catalog) -> str:
    """Return the store's id, a UUID; make one when there is none. Call it under the run lock."""
    known = store_id(catalog)
    if known is not None:
        return known
    fresh = str(uuid.uuid4())
    with translate_errors(catalog.name):
        catalog.create_namespace_if_not_exists(NAMESPACE)
        catalog.update_namespace_properties(NAMESPACE, updates={STORE_ID: fresh})
    return fresh
