"""Whatever two classes with every kind of link go through: the past is what a SELECT showed, and can return."""

from random import Random

import pytest
from sqlalchemy import delete, func, insert, inspect, select, update
from sqlalchemy.orm import selectinload

import async_continuum as ac
from async_continuum import Operation, version_class
from tests.relations.pair import PAIRS, related, state

KEYS = range(1, 6)
NAMES = ("favourite", "written", "desk", "reads", "mentor", "pupils", "likes", "liked_by")
BOOK_NAMES = ("author", "holder", "admirers", "readers")


@pytest.fixture(params=PAIRS)
def models(request):
    return PAIRS[request.param]


@pytest.fixture
def base(models):
    return models.Base


@pytest.fixture
def manager(models):
    return models.manager


async def change(session, m, random):
    """Do one random thing to readers, books, or a link of any kind."""
    readers = list(await session.scalars(select(m.Reader)))
    books = list(await session.scalars(select(m.Book)))
    reader = random.choice(readers) if readers else None
    book = random.choice(books) if books else None
    act = random.randrange(16)
    if reader is None or act in (0, 1):
        key, name = random.choice(KEYS), f"r{random.randrange(9)}"
        if key in {each.id for each in readers}:
            reader.name = name
        else:
            session.add(m.Reader(id=key, name=name))
    elif book is None or act in (2, 3):
        key = random.choice(KEYS)
        if key in {each.id for each in books}:
            book.name = f"b{random.randrange(9)}"
        else:
            session.add(m.Book(id=key, author=random.choice(readers)))
    elif act in (4, 5):
        reader.favourite = random.choice((book, None))
    elif act == 6:
        book.author = random.choice((reader, None))
    elif act in (7, 8):
        await reader.awaitable_attrs.desk
        reader.desk = random.choice((book, book, None))
    elif act == 9:
        reads = await reader.awaitable_attrs.reads
        reads.remove(book) if book in reads else reads.append(book)
    elif act == 10:
        reader.mentor = random.choice((random.choice(readers), None))
    elif act in (11, 12):
        likes, other = await reader.awaitable_attrs.likes, random.choice(readers)
        likes.remove(other) if other in likes else likes.append(other)
    elif act == 13:
        table = m.tables["reading"]
        mine = (table.c.left_id == reader.id) & (table.c.right_id == book.id)
        if (await session.execute(select(table).where(mine))).first() is None:
            await session.execute(insert(table).values(left_id=reader.id, right_id=book.id, rank=random.randrange(9)))
        else:
            way = update(table).values(rank=random.randrange(9)) if random.random() < 0.5 else delete(table)
            await session.execute(way.where(mine))
    else:
        await session.delete(reader if act == 14 else book)


async def live(sessions, m, seed, days):
    """Let them live for some transactions; give what plain statements showed after each, by its id."""
    random, seen = Random(seed), {}
    newest = select(func.max(ac.transaction_class(m.Reader).id))
    async with sessions() as session:
        for _ in range(days):
            for _ in range(random.choice((1, 1, 2, 4))):
                savepoint = await session.begin_nested() if random.random() < 0.2 else None
                await change(session, m, random)
                await session.flush()
                if savepoint is not None:
                    await (savepoint.rollback if random.random() < 0.5 else savepoint.commit)()
                session.expire_all()
            await session.commit()
            transaction_id = await session.scalar(newest)
            seen.setdefault(transaction_id, await state(session, m))
            await session.commit()
    seen.pop(None, None)
    return seen


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


@pytest.mark.parametrize("seed", range(2))
async def test_every_relation_of_every_version_is_what_a_select_showed(sessions, models, seed):
    seen = await live(sessions, models, seed, days=120)
    compared = ended = 0
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
                compared += bool(shown)
                ended += bool(shown) and version.operation_type is Operation.DELETE
    assert compared > 150
    assert ended > 0, "a DELETE version shows what was alive after its transaction"


@pytest.mark.parametrize("seed", range(2))
async def test_reverted_with_its_relations_the_graph_is_what_it_was_or_nothing_is_changed(sessions, models, seed):
    m, random = models, Random(seed)
    seen = await live(sessions, m, seed + 100, days=50)
    async with sessions() as session:
        alive = [
            (model, names, version.id, version.transaction_id)
            async for model, names, version in versions(session, m)
            if version.operation_type is not Operation.DELETE
        ]
    done, refusals = 0, []
    for model, names, key, transaction_id in random.sample(alive, 15):
        async with sessions() as session:
            before = await state(session, m)
            version = await ac.versions_of(session, model, key).at(transaction_id)
            try:
                plan = await version.plan_revert(session, relations=names)
                await version.revert(session, relations=names)
                await session.flush()
            except ac.RevertError as error:
                refusals.append(str(error).lower())
                assert await state(session, m) == before
                continue
            table, now, then = model.__tablename__, await state(session, m), seen[transaction_id]
            (row,) = [each for each in then[table] if each["id"] == key]
            assert [each for each in now[table] if each["id"] == key] == [row], plan
            shown = {name: sorted(rows, key=lambda row: row["id"]) for name, rows in related(now, table, row).items()}
            wanted = {name: sorted(rows, key=lambda row: row["id"]) for name, rows in related(then, table, row).items()}
            assert shown == wanted, f"{model} {key} at {transaction_id}: {plan}\n{before}\n{seen[transaction_id]}"
            assert not await version.plan_revert(session, relations=names)
            done += 1
            if random.random() < 0.3:
                await session.commit()
    assert done > 5
    assert [said for said in refusals if "foreign key" not in said] == []
