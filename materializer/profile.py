"""
dbt's target: which database the models of a project live in.

Responsible for finding and reading `profiles.yml` as dbt does, without importing dbt, which takes
seconds. Of dbt's Jinja it knows `env_var` alone. Does not open the database.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from materializer.config import Settings
from materializer.errors import UsageError
from materializer.registry import Registry

_PROFILES = "profiles.yml"


@dataclass(frozen=True, slots=True)
class Target:
    """
    One output of a profile, with the database and the schema of its relations.

    Attributes:
        kind: Adapter, e.g. `duckdb`.
        path: The DuckDB file; a relative path is relative to the project.
    """

    name: str
    kind: str
    path: str
    database: str
    schema: str


def at_target(
    settings: Settings, registry: Registry, project_dir: Path, target: str | None
) -> Settings:
    """
    Return the settings with the database of a target, unless that is the one in the home.

    Raises:
        UsageError: See `require_target`; or it is not a DuckDB file.
    """
    output = require_target(registry, project_dir, target)
    if output is None:
        return settings
    if output.kind != "duckdb":
        raise UsageError(
            f"target {output.name} is {output.kind}; only DuckDB can be published from"
        )
    if output.path == ":memory:" or "://" in output.path or output.path.startswith("md:"):
        raise UsageError(f"target {output.name} is {output.path}; it must be a DuckDB file")
    # A home may be relative to where the command is started; dbt works in the project's folder.
    if Path(output.path).resolve() == settings.warehouse:
        return settings
    return replace(settings, database=(project_dir / output.path).resolve())


def require_target(registry: Registry, project_dir: Path, target: str | None) -> Target | None:
    """
    Read a target, see `read_target`, and check that the manifest was parsed for it.

    Raises:
        UsageError: It cannot be read, or the manifest names the relations of another one.
    """
    output = read_target(project_dir, target)
    parsed = registry.records_schema
    if output is None or parsed is None:
        return output
    if parsed != (output.database, output.schema):
        raise UsageError(
            f"the manifest was parsed for another target: it names {'.'.join(parsed)}, and target "
            f"{output.name} is {output.database}.{output.schema}; "
            f"run: dbt parse --target {output.name}"
        )
    return output


def read_target(project_dir: Path, target: str | None) -> Target | None:
    """
    Read a target of a project's profile, by default the one that dbt would use.

    Returns:
        The target; None when none is named and the project has no profile.

    Raises:
        UsageError: There is no target of that name, or it cannot be read.
    """
    project = project_dir / "dbt_project.yml"
    file = _profiles_file(project_dir)
    if target is None and (file is None or not project.is_file()):
        return None
    if file is None:
        raise UsageError(
            f"target {target}: no {_PROFILES} in DBT_PROFILES_DIR, in {project_dir} or in ~/.dbt"
        )
    declared = _load(project).get("profile")
    name = os.environ.get("DBT_PROFILE") or _render(declared, f"{file}: profile")
    profile = _load(file).get(name)
    if not isinstance(profile, dict):
        if target is None:
            return None
        raise UsageError(f"{file} has no profile {name}")
    default = profile.get("target", "default")
    target = target or os.environ.get("DBT_TARGET") or _render(default, f"{file}: target")
    outputs = profile.get("outputs") or {}
    if target not in outputs:
        raise UsageError(
            f"{file}: profile {name} has no target {target!r}; known: {', '.join(outputs)}"
        )
    kind, path, database, schema = (
        _render(outputs[target].get(key), f"{file}: {target}.{key}")
        for key in ("type", "path", "database", "schema")
    )
    path = path or ":memory:"
    return Target(
        name=target,
        kind=kind,
        path=path,
        database=database or Path(path).stem.strip(":"),
        schema=schema or "main",
    )


def _profiles_file(project_dir: Path) -> Path | None:
    named = os.environ.get("DBT_PROFILES_DIR")
    # Without a home, as in a container, `~` stays as it is; `Path.home()` would raise.
    home = Path(os.path.expanduser("~/.dbt"))  # noqa: PTH111
    folders = [Path(named)] if named else [project_dir, home]
    return next((f / _PROFILES for f in folders if (f / _PROFILES).is_file()), None)


def _load(path: Path) -> dict[str, Any]:
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        detail = " ".join(str(error).split())
        raise UsageError(f"{path} cannot be read: {detail}") from None
    return body if isinstance(body, dict) else {}


def _render(value: object, setting: str) -> str:
    """Render a value as dbt does, with `env_var` alone; None becomes the empty string."""
    text = "" if value is None else str(value)
    if "{" not in text:
        return text
    # Imported here, because few profiles need it.
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    jinja = SandboxedEnvironment(undefined=StrictUndefined)
    try:
        return jinja.from_string(text).render(env_var=_env_var)
    except (TemplateError, TypeError, KeyError) as error:
        detail = f"{error.args[0]} is not set" if isinstance(error, KeyError) else error
        raise UsageError(
            f"{setting}: {text} cannot be rendered: {detail}; here a profile can use env_var alone"
        ) from None


def _env_var(name: str, default: str | None = None) -> str:
    if name in os.environ or default is None:
        return os.environ[name]
    return str(default)
