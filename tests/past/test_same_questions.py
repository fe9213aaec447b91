"""Every query of an application, unchanged, gives in the past what it gave then."""

from async_continuum import transaction_class
from tests.past.queries import QUESTIONS
from tests.past.twice import ask_twice
from tests.relations.library import STORY, base, manager, models, touch

__all__ = ["base", "manager", "models"]


def touched(day, happens):
    async def live(session, m):
        await happens(session, m)
        await session.flush()
        await touch(session, m, day)

    return live


async def test_every_question_is_answered_in_the_past_as_it_was_then(sessions, models):
    assert len(QUESTIONS) >= 60
    await ask_twice(
        sessions,
        models,
        transactions=transaction_class(models.Book),
        story=[touched(day, happens) for day, happens in enumerate(STORY)],
        questions=QUESTIONS,
    )
