"""
dbt's target: which database the models of a project live in.

Responsible for finding and reading `profiles.yml` as dbt does, without importing dbt, which takes
seconds. Of dbt's Jinja it knows `env_var` alone. Does not open the database.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from materializer.config import Settings
from materializer.errors import OtherTarget, UsageError
from materializer.registry import Registry

_PROFILES = "profiles.yml"


@dataclass(frozen=True, slots=True)
class Target:
    """
    One output of a profile.

    Attributes:
        name: Its name.
        kind: Adapter, e.g. `duckdb`.
        path: The DuckDB file, absolute, or as the profile has it, relative to the project.
        database: Database of its relations.
        schema: Schema of its relations.
    """

    name: str
    kind: str
    path: str
    database: str
    schema: str


def at_target(
    settings: Settings,
    registry: Registry,
    project_dir: Path,
    target: str | None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """
    Return the settings with the database of a target in place of the home's.

    Args:
        settings: Those of the environment.
        registry: From the manifest; its records are in the schema of its target.
        project_dir: The dbt project.
        target: Name of the target, None for the one that dbt would use. Without a profile that is
            the warehouse in the home.
        environ: The environment, None for that of the process.

    Raises:
        UsageError: There is no such profile or target, or it cannot be read.
        OtherTarget: The manifest was parsed for another target.
    """
    output = require_target(registry, project_dir, target, environ)
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


def require_target(
    registry: Registry,
    project_dir: Path,
    target: str | None,
    environ: Mapping[str, str] | None = None,
) -> Target | None:
    """
    Read a target, and check that the manifest was parsed for it.

    Args:
        registry: From the manifest.
        project_dir: The dbt project.
        target: Name of the target, None for the one that dbt would use.
        environ: The environment, None for that of the process.

    Returns:
        The target, None when none was named and the project has no profile.

    Raises:
        UsageError: There is no such profile or target, or it cannot be read.
        OtherTarget: The manifest was parsed for another target.
    """
    output = read_target(project_dir, target, os.environ if environ is None else environ)
    if output is None or registry.records_schema is None:
        return output
    if registry.records_schema != (output.database, output.schema):
        raise OtherTarget(output.name, (output.database, output.schema), registry.records_schema)
    return output


def read_target(project_dir: Path, target: str | None, environ: Mapping[str, str]) -> Target | None:
    """
    Read one target of a project's profile.

    Args:
        project_dir: The dbt project.
        target: Its name, None for the one that dbt would use.
        environ: The environment.

    Returns:
        The target; None when no target was named and the project has no profile.

    Raises:
        UsageError: There is no target of that name, or it cannot be read.
    """
    project = project_dir / "dbt_project.yml"
    file = _profiles_file(project_dir, environ)
    if target is None and (file is None or not project.is_file()):
        return None
    if file is None:
        raise UsageError(
            f"target {target}: no {_PROFILES} in DBT_PROFILES_DIR, in {project_dir} or in ~/.dbt"
        )
    render = _Renderer(file, environ)
    name = environ.get("DBT_PROFILE") or render(_load(project).get("profile"), "profile")
    profile = _load(file).get(name)
    if not isinstance(profile, dict):
        if target is None:
            return None
        raise UsageError(f"{file} has no profile {name}")
    outputs = profile.get("outputs") or {}
    name_of_target = (
        target or environ.get("DBT_TARGET") or render(profile.get("target", "default"), "target")
    )
    if name_of_target not in outputs:
        raise UsageError(
            f"{file}: profile {name} has no target {name_of_target!r}; known: {', '.join(outputs)}"
        )
    values = {
        key: render(outputs[name_of_target].get(key), f"{name_of_target}.{key}")
        for key in ("type", "path", "database", "schema")
    }
    path = values["path"] or ":memory:"
    return Target(
        name=name_of_target,
        kind=values["type"],
        path=path,
        database=values["database"] or Path(path).stem.strip(":"),
        schema=values["schema"] or "main",
    )


def _profiles_file(project_dir: Path, environ: Mapping[str, str]) -> Path | None:
    named = environ.get("DBT_PROFILES_DIR")
    folders = [Path(named)] if named else [project_dir, Path.home() / ".dbt"]
    return next((f / _PROFILES for f in folders if (f / _PROFILES).is_file()), None)


def _load(path: Path) -> dict[str, Any]:
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        detail = " ".join(str(error).split())
        raise UsageError(f"{path} cannot be read: {detail}") from None
    return body if isinstance(body, dict) else {}


class _Renderer:
    """Renders the values of one file as dbt does, with `env_var` alone."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ

    def __call__(self, value: object, key: str) -> str:
        """Render one value; None becomes the empty string."""
        text = "" if value is None else str(value)
        if "{" not in text:
            return text
        # Imported here: only projects that need it pay for it.
        from jinja2 import StrictUndefined, TemplateError
        from jinja2.sandbox import SandboxedEnvironment

        jinja = SandboxedEnvironment(undefined=StrictUndefined)
        try:
            return jinja.from_string(text).render(env_var=self._env_var)
        except (TemplateError, TypeError, KeyError) as error:
            detail = f"{error.args[0]} is not set" if isinstance(error, KeyError) else error
            raise UsageError(
                f"{self._file}: {key}: {text} cannot be rendered: {detail}; "
                "here a profile can use env_var alone"
            ) from None

    def _env_var(self, name: str, default: str | None = None) -> str:
        if name in self._environ or default is None:
            return self._environ[name]
        return str(default)
