"""
Settings: where the store is, what time it is, and how times are written.

Responsible for the meaning of each environment variable (`FEATURE_STORE_HOME`, `FEATURE_STORE_NOW`,
`REDIS_URL`), so that dbt, the materializer and the server agree. Does not read any of them at
import: each command and server makes one `Settings` and passes it on.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from materializer.errors import UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEFAULT_HOME = ".feature_store"


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 date or time as an aware one in UTC; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """Return an aware time as ISO 8601 in UTC with `Z`; microseconds only if there are any."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def without_fraction(moment: str) -> str:
    """Return a time that `format_time` wrote without its fraction of a second."""
    return re.sub(r"\.\d+Z$", "Z", moment)


def micros(moment: datetime) -> int:
    """Return the microseconds from 1970 to an aware time."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The settings of one command or one server.

    Attributes:
        home: Folder of the warehouse, the offline store and the embedded Redis; absolute.
        fixed_now: The clock of `FEATURE_STORE_NOW`, or None for the real one.
        redis_url: `REDIS_URL`, or None for the embedded server.
        database: The DuckDB file that dbt writes, or None for the one in the home.
    """

    home: Path
    fixed_now: datetime | None = None
    redis_url: str | None = None
    database: Path | None = None

    @classmethod
    def from_env(cls) -> Settings:
        """
        Read the settings.

        Raises:
            UsageError: `FEATURE_STORE_NOW` is not a time.
        """
        now = os.environ.get("FEATURE_STORE_NOW")
        try:
            fixed = parse_time(now) if now else None
        except ValueError:
            raise UsageError(
                f"FEATURE_STORE_NOW={now!r} is not an ISO time; write 2024-03-31T00:00:00Z"
            ) from None
        return cls(
            home=Path(os.environ.get("FEATURE_STORE_HOME") or DEFAULT_HOME).resolve(),
            fixed_now=fixed,
            redis_url=os.environ.get("REDIS_URL") or None,
        )

    def now(self) -> datetime:
        """Return the time [aware, UTC]: that of the fixed clock if there is one."""
        return self.fixed_now or datetime.now(UTC)

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that dbt writes."""
        return self.database or self.home / "warehouse.duckdb"
