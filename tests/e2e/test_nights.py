"""A group by day in a project of its own, night after night: what is published is what is true."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest

from tests.support.shop import DailyShop, Receipt, spending
from tests.support.store import Store

FIRST = [
    Receipt(7, Decimal("12.50"), False, datetime(2024, 2, 27, 23, 59, 59)),
    Receipt(7, Decimal("1.25"), False, datetime(2024, 2, 29, 0, 0)),
    Receipt(8, Decimal("3.00"), True, datetime(2024, 2, 29, 9, 0)),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(DailyShop(tmp_path_factory.mktemp("daily") / "shop"), None)


def night(store: Store, last: date, receipts: Sequence[Receipt]) -> str:
    """Build and publish the night after a day; what is published is right. Returns dbt's log."""
    project = store.project
    assert isinstance(project, DailyShop)
    project.now = f"{last + (date(2024, 1, 2) - date(2024, 1, 1))}T00:15:00Z"
    project.write_receipts(receipts)
    run = project.build("--target", "prod").assert_done()
    store.do("publish", "--target", "prod").assert_code(0)
    found = sorted(store.table("spending_daily"), key=lambda row: (row[1], row[0]))
    assert found == spending(receipts, last)
    return run.output


def test_night_after_night_the_published_rows_are_right(store: Store) -> None:
    assert "4 days whole build" in night(store, date(2024, 3, 1), FIRST)

    # An amount was corrected, and nothing else: its day and the days after it are built again.
    corrected = [FIRST[0], replace(FIRST[1], amount=Decimal("2.25")), FIRST[2]]
    said = night(store, date(2024, 3, 2), corrected)
    assert "1 day missing, 2024-03-02" in said
    assert "2 days events changed, 2024-02-29 to 2024-03-01" in said

    later = [*corrected, Receipt(9, Decimal(4), True, datetime(2024, 3, 3, 23, 59, 59, 999999))]
    assert "events changed" not in night(store, date(2024, 3, 3), later)

    other_voucher = [corrected[0], corrected[1], replace(corrected[2], voucher=False), later[3]]
    said = night(store, date(2024, 3, 4), other_voucher)
    assert "4 days events changed, 2024-02-29 to 2024-03-03" in said
    assert "every finished day is built" in night(store, date(2024, 3, 4), other_voucher)
