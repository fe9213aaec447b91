"""Every query of an application, unchanged, gives in the past what it gave then."""

from sqlalchemy import select

from async_continuum import as_of, transaction_class
from tests.past.queries import QUESTIONS
from tests.relations.library import STORY, base, manager, models, touch

__all__ = ["base", "manager", "models"]


async def test_every_question_is_answered_in_the_past_as_it_was_then(sessions, models):
    Transaction = transaction_class(models.Book)
    then = {}
    for day, happens in enumerate(STORY):
        async with sessions.begin() as session:
            await happens(session, models)
            await session.flush()
            await touch(session, models, day)
        async with sessions() as session:
            newest = (await session.scalars(select(Transaction.id).order_by(Transaction.id.desc()).limit(1))).one()
        then[newest] = {name: await answer(sessions, models, name) for name in QUESTIONS}
    *past, present = then
    wrong = {}
    async with sessions() as session:
        for moment, expected in then.items():
            for name, question in QUESTIONS.items():
                async with as_of(session, moment) as view:
                    found = await question(view, models)
                if found != expected[name]:
                    wrong[moment, name] = (found, expected[name])
    assert wrong == {}
    proves_nothing = [name for name in QUESTIONS if not any(differs(then, name, moment, present) for moment in past)]
    assert proves_nothing == []
    assert len(QUESTIONS) >= 60


async def answer(sessions, models, name):
    async with sessions() as session:
        return await QUESTIONS[name](session, models)


def differs(then, name, moment, present):
    """Say whether an answer is there, and is not the present one."""
    return bool(then[moment][name]) and then[moment][name] != then[present][name]
