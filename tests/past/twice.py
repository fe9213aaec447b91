"""Ask every question twice: live when its day is over, and in the past when all days are."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import select

from async_continuum import as_of

Question = Callable[[Any, Any], Awaitable[Any]]
Day = Callable[[Any, Any], Awaitable[None]]


async def ask_twice(
    sessions: Any, models: Any, *, transactions: Any, story: Sequence[Day], questions: dict[str, Question]
) -> None:
    """Live through a story, and assert that each question is answered in the past as it was then.

    Each answer must also, on some day, be there and be another than the present one: otherwise it would prove nothing.
    """
    then: dict[int, dict[str, Any]] = {}
    for happens in story:
        async with sessions.begin() as session:
            await happens(session, models)
        async with sessions() as session:
            newest = (await session.scalars(select(transactions.id).order_by(transactions.id.desc()).limit(1))).one()
        then[newest] = {name: await _answer(sessions, question, models) for name, question in questions.items()}
    assert len(then) == len(story)

    wrong = {}
    async with sessions() as session:
        for moment, expected in then.items():
            for name, question in questions.items():
                async with as_of(session, moment) as past:
                    found = await question(past, models)
                if found != expected[name]:
                    wrong[moment, name] = (found, expected[name])
    assert wrong == {}
    *past_days, present = then.values()
    assert [name for name in questions if not any(day[name] and day[name] != present[name] for day in past_days)] == []


async def _answer(sessions: Any, question: Question, models: Any) -> Any:
    async with sessions() as session:
        return await question(session, models)
