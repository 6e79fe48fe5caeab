"""
A plugin of dbt-duckdb: make the folder of the warehouse before DuckDB opens it.

So plain `dbt build` works anywhere. Owns nothing else: dbt-duckdb calls a plugin's `initialize`
before it connects, and at no other point can a project act that early. It is a module of this
package, because dbt looks for a path in a profile from the current folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin


class Plugin(BasePlugin):
    """The one class dbt-duckdb looks for in a plugin module."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Create the parent folder of the DuckDB file of this profile."""
        if self.creds is not None and self.creds.path != ":memory:":
            Path(self.creds.path).parent.mkdir(parents=True, exist_ok=True)
