"""Whatever two classes with every kind of link go through: the past is what a SELECT showed, and can return."""

import pytest
from hypothesis import strategies as st
from sqlalchemy import inspect, select
from sqlalchemy.orm import selectinload

import async_continuum as ac
from async_continuum import Operation, version_class
from tests.kit.lives import run_lives
from tests.relations.lives import live, lives
from tests.relations.pair import PAIRS, related, state

NAMES = ("favourite", "written", "desk", "reads", "mentor", "pupils", "likes", "liked_by")
BOOK_NAMES = ("author", "holder", "admirers", "readers")


@pytest.fixture(params=PAIRS)
def models(request):
    return PAIRS[request.param]


def row_of(instance):
    """Give the columns of a live object or a version as its table's row has them."""
    columns = inspect(instance).mapper.columns.keys()
    return {name: getattr(instance, name) for name in columns if not name.endswith(("transaction_id", "_type"))}


async def versions(session, m):
    """Read every version with every relation."""
    for model, names in ((m.Reader, NAMES), (m.Book, BOOK_NAMES)):
        version = version_class(model)
        loaded = select(version).options(*(selectinload(getattr(version, name)) for name in names))
        for each in await session.scalars(loaded):
            yield model, names, each


@pytest.mark.timeout(600)
def test_every_relation_of_every_version_is_what_a_select_showed(models, backend, places):
    counted = {"compared": 0, "ended": 0}

    async def told(sessions, life):
        seen = await live(sessions, models, life)
        async with sessions() as session:
            async for model, names, version in versions(session, models):
                then = related(seen[version.transaction_id], model.__tablename__, row_of(version))
                for name in names:
                    value = getattr(version, name)
                    many = isinstance(value, (list, set))
                    shown = [row_of(each) for each in (value if many else [value] if value is not None else [])]
                    if isinstance(value, set):
                        shown.sort(key=lambda row: row["id"])
                    assert shown == then[name], f"{version!r}.{name} at {version.transaction_id}"
                    counted["compared"] += bool(shown)
                    counted["ended"] += bool(shown) and version.operation_type is Operation.DELETE

    run_lives(told, models, backend, places, examples=9, life=lives(30))
    assert counted["compared"] > 300
    assert counted["ended"] > 0, "a DELETE version shows what was alive after its transaction"


@pytest.mark.timeout(600)
def test_reverted_with_its_relations_the_graph_is_what_it_was_or_nothing_is_changed(models, backend, places):
    counted, refusals = {"done": 0}, []

    async def told(sessions, life, reverts):
        seen = await live(sessions, models, life)
        async with sessions() as session:
            alive = [
                (model, names, version.id, version.transaction_id)
                async for model, names, version in versions(session, models)
                if version.operation_type is not Operation.DELETE
            ]
        for which, commit in reverts if alive else ():
            model, names, key, transaction_id = alive[which % len(alive)]
            async with sessions() as session:
                before = await state(session, models)
                version = await ac.versions_of(session, model, key).at(transaction_id)
                try:
                    plan = await version.plan_revert(session, relations=names)
                    await version.revert(session, relations=names)
                    await session.flush()
                except ac.RevertError as error:
                    refusals.append(str(error).lower())
                    assert await state(session, models) == before
                    continue
                table, now, then = model.__tablename__, await state(session, models), seen[transaction_id]
                (row,) = [each for each in then[table] if each["id"] == key]
                assert [each for each in now[table] if each["id"] == key] == [row], plan
                shown, wanted = (in_any_order(related(at, table, row)) for at in (now, then))
                assert shown == wanted, f"{model} {key} at {transaction_id}: {plan}\n{before}\n{seen[transaction_id]}"
                assert not await version.plan_revert(session, relations=names)
                counted["done"] += 1
                if commit:
                    await session.commit()

    reverts = st.lists(st.tuples(st.integers(0, 999), st.sampled_from([False, False, True])), min_size=3, max_size=9)
    run_lives(told, models, backend, places, examples=6, life=lives(18), reverts=reverts)
    assert counted["done"] > 10
    assert [said for said in refusals if "foreign key" not in said] == []


def in_any_order(shown):
    return {name: sorted(rows, key=lambda row: row["id"]) for name, rows in shown.items()}
