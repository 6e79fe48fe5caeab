"""
dbt's target: which database the models of a project live in.

Owns how `profiles.yml` is found and read, as dbt finds and reads it, without importing dbt, which
takes seconds. Of dbt's Jinja it knows `env_var` alone. Refuses to open the database.
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
    Make the settings of one target: its database in place of the home's.

    Args:
        settings: Those of the environment.
        registry: What the manifest says; its records lie where its target is.
        project_dir: The dbt project.
        target: Name of the target, None for the one that dbt would take. Without a profile that is
            the warehouse in the home.
        environ: The environment, None for the process's own.

    Raises:
        UsageError: There is no such profile or target, or it cannot be read.
        OtherTarget: The manifest was parsed for another one.
    """
    found = require_target(registry, project_dir, target, environ)
    if found is None:
        return settings
    if found.kind != "duckdb":
        raise UsageError(f"target {found.name} is {found.kind}; only DuckDB can be published from")
    if found.path == ":memory:" or "://" in found.path or found.path.startswith("md:"):
        raise UsageError(f"target {found.name} is {found.path}; it must be a DuckDB file")
    # A home may be relative to where the command is started; dbt works in the project's folder.
    if Path(found.path).resolve() == settings.warehouse:
        return settings
    return replace(settings, database=(project_dir / found.path).resolve())


def require_target(
    registry: Registry,
    project_dir: Path,
    target: str | None,
    environ: Mapping[str, str] | None = None,
) -> Target | None:
    """
    Read a target, and see that the manifest is its own.

    Args:
        registry: What the manifest says.
        project_dir: The dbt project.
        target: Name of the target, None for the one that dbt would take.
        environ: The environment, None for the process's own.

    Returns:
        The target, None when none was named and the project has no profile.

    Raises:
        UsageError: There is no such profile or target, or it cannot be read.
        OtherTarget: The manifest was parsed for another one.
    """
    found = read_target(project_dir, target, os.environ if environ is None else environ)
    if found is None or registry.place is None:
        return found
    if registry.place != (found.database, found.schema):
        raise OtherTarget(found.name, (found.database, found.schema), registry.place)
    return found


def read_target(project_dir: Path, target: str | None, environ: Mapping[str, str]) -> Target | None:
    """
    Read one target of a project's profile.

    Args:
        project_dir: The dbt project.
        target: Its name, None for the one that dbt would take.
        environ: The environment.

    Returns:
        The target; None when no target was named and the project has no profile.

    Raises:
        UsageError: The target that was named is not there, or one cannot be read.
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
    wanted = (
        target or environ.get("DBT_TARGET") or render(profile.get("target", "default"), "target")
    )
    if wanted not in outputs:
        raise UsageError(
            f"{file}: profile {name} has no target {wanted!r}; known: {', '.join(outputs)}"
        )
    values = {
        key: render(outputs[wanted].get(key), f"{wanted}.{key}")
        for key in ("type", "path", "database", "schema")
    }
    path = values["path"] or ":memory:"
    return Target(
        name=wanted,
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
        said = " ".join(str(error).split())
        raise UsageError(f"{path} cannot be read: {said}") from None
    return body if isinstance(body, dict) else {}


class _Renderer:
    """Render the texts of one file as dbt does, as far as `env_var` goes."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ

    def __call__(self, value: object, key: str) -> str:
        """Render one value; nothing becomes the empty text."""
        text = "" if value is None else str(value)
        if "{" not in text:
            return text
        # Only projects that need it pay the import.
        from jinja2 import StrictUndefined, TemplateError
        from jinja2.sandbox import SandboxedEnvironment

        jinja = SandboxedEnvironment(undefined=StrictUndefined)
        try:
            return jinja.from_string(text).render(env_var=self._env_var)
        except (TemplateError, TypeError, KeyError) as error:
            said = f"{error.args[0]} is not set" if isinstance(error, KeyError) else error
            raise UsageError(
                f"{self._file}: {key}: {text} cannot be rendered: {said}; "
                "here a profile can use env_var alone"
            ) from None

    def _env_var(self, name: str, default: str | None = None) -> str:
        if name in self._environ or default is None:
            return self._environ[name]
        return str(default)
