"""The example: an application's own functions and models say in the past what they said then."""

from typing import Any

import pytest

from async_continuum import as_of
from examples import time_travel

MONTHS = 6


@pytest.fixture
def base() -> Any:
    return time_travel.Base


@pytest.fixture
def manager() -> Any:
    return time_travel.manager


async def told(session: Any) -> Any:
    return await time_travel.outstanding(session), [str(invoice) for invoice in await time_travel.reminders(session)]


async def test_every_month_is_told_in_the_past_as_it_was_told_at_its_end(sessions, tmp_path):
    then = []
    for month in range(1, MONTHS + 1):
        await time_travel.live_through(sessions, month)
        async with sessions() as session:
            then.append(await told(session))
    assert len({str(each) for each in then}) == MONTHS

    for month, expected in enumerate(then, start=1):
        async with as_of(sessions, time_travel.first_of(month + 1)) as past:
            assert await told(past) == expected

    said: list[str] = []
    file = tmp_path / "balance.svg"
    values = await time_travel.look_back(sessions, months=MONTHS, file=file, say=said.append)
    assert [balance for _, balance in values] == [balance for balance, _ in then]
    assert file.exists() == any(line.startswith("Drawn into") for line in said)
    assert sum("#" in line for line in said) == MONTHS
