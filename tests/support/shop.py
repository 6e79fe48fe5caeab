"""
dbt projects that use this one as a package, with names, keys and a profile of their own.

`Shop` is the example of docs/how-to/other-project.md. `DailyShop` has in its place a group that is
built by day.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import yaml

from tests.support import pages
from tests.support.dbt import ROOT, Project

STEPS = pages.section("how-to/other-project.md", "As a package")

# A feature row: customer, day, spent in 7 days, vouchers in 7 days, from when it may be used.
Row = tuple[int, date, Decimal, int, datetime]

_STAGING = """\
select
    cast(customer_id as bigint) as customer_id,
    cast(amount as decimal(9, 2)) as amount,
    cast(voucher as boolean) as voucher,
    cast(bought_at as timestamp) as ts
from {{ ref('receipts') }}
"""
_DAILY = """\
-- One row per (customer_id, day) with a receipt on the day or the 6 days before it.
select
    receipts.customer_id,
    days.day,
    cast(sum(receipts.amount) as decimal(9, 2)) as spent_7d,
    cast(count_if(receipts.voucher) as bigint) as vouchers_7d,
    days.available_at
from {{ feature_store.planned_days() }} as days
inner join {{ ref('stg_receipts') }} as receipts
    on receipts.ts >= days.day - 6 and receipts.ts < days.day + 1
group by all
"""
_TESTS = {
    "unique_snapshot": {"entity": ["customer_id"]},
    "rows_are_known": {},
    "is_as_built": {},
    "knows_no_future": {"entity": ["customer_id"], "inputs": {"receipts": "bought_at"}},
}
_COLUMNS = {
    "customer_id": "bigint",
    "day": "date",
    "spent_7d": "decimal(9,2)",
    "vouchers_7d": "bigint",
    "available_at": "timestamp",
}


class Shop(Project):
    """A project that has nothing of this one but its package."""

    shares_parsing = False

    def __post_init__(self) -> None:
        """Write what the page shows, beside the package."""
        self.folder.mkdir(parents=True)
        (self.folder.parent / "dbt-feature-store").symlink_to(ROOT)
        pages.write(STEPS, self.folder)


@dataclass(frozen=True)
class Receipt:
    """One receipt of the input."""

    customer_id: int
    amount: Decimal
    voucher: bool
    bought_at: datetime


class DailyShop(Shop):
    """The shop with a group by day, which sums up what a customer bought in 7 days."""

    def __post_init__(self) -> None:
        """Write the project and fetch the package."""
        super().__post_init__()
        models = self.folder / "models"
        for path in models.iterdir():
            path.unlink()
        (models / "stg_receipts.sql").write_text(_STAGING)
        (models / "spending_daily.sql").write_text(_DAILY)
        (models / "spending_daily.yml").write_text(yaml.safe_dump({"models": [_group()]}))
        self.write_receipts([])
        self.dbt("deps").assert_done()

    def write_receipts(self, receipts: Iterable[Receipt]) -> None:
        """Write the whole input."""
        with (self.folder / "seeds" / "receipts.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("customer_id", "amount", "voucher", "bought_at"))
            writer.writerows((r.customer_id, r.amount, r.voucher, r.bought_at) for r in receipts)


def _group() -> dict[str, object]:
    hooks = [
        "clear_plan()",
        "plan_days(ref('stg_receipts'), window_days=7)",
        "plan_refresh(ref('stg_receipts'))",
        "refresh_available_at()",
        "announce_plan()",
    ]
    return {
        "name": "spending_daily",
        "config": {
            "materialized": "incremental",
            "incremental_strategy": "replace_days",
            "on_schema_change": "fail",
            "contract": {"enforced": True},
            "pre_hook": [f"{{{{ feature_store.{hook} }}}}" for hook in hooks],
            "post_hook": [
                "{{ feature_store.build_next_chunks() }}",
                "{{ feature_store.record_build(by_day=true) }}",
            ],
            "meta": {"feature_group": {"entity": ["customer_id"], "online": True}},
        },
        "data_tests": [
            {
                f"feature_store.{name}": {
                    "name": f"spending_daily_{name}",
                    **({"arguments": arguments} if arguments else {}),
                    "config": {"tags": ["gate"]},
                }
            }
            for name, arguments in _TESTS.items()
        ],
        "columns": [{"name": name, "data_type": kind} for name, kind in _COLUMNS.items()],
    }


def spending(receipts: Iterable[Receipt], last: date) -> list[Row]:
    """Compute every row of the group up to a day, in plain Python."""
    bought = list(receipts)
    day = min(r.bought_at.date() for r in bought)
    rows: list[Row] = []
    while day <= last:
        recent = [r for r in bought if 0 <= (day - r.bought_at.date()).days < 7]
        for customer in sorted({r.customer_id for r in recent}):
            own = [r for r in recent if r.customer_id == customer]
            total = sum((r.amount for r in own), Decimal(0))
            end = datetime(day.year, day.month, day.day) + timedelta(days=1)
            rows.append((customer, day, total, sum(r.voucher for r in own), end))
        day += timedelta(days=1)
    return rows
