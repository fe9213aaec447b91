"""The mod flags of a version say what its transaction has changed, net; a DELETE version may hold nothing."""

import pytest
from sqlalchemy import func, select, text, update

import async_continuum as ac
from tests.chronicle import setting, write


@pytest.fixture
def flags(session, models):
    """Tell for each version of an article its operation and the columns that it says were changed."""

    async def tell(key=1):
        versions = await ac.versions_of(session, models.Article, key)
        return [
            (v.operation_type.name, "".join(n[0] for n in ("name", "content", "secret") if getattr(v, f"{n}_mod")))
            for v in versions
        ]

    return tell


async def test_an_insert_and_a_delete_have_changed_everything_and_an_update_what_it_has(session, models, flags):
    article = models.Article(id=1, name="a")
    await write(session, article, setting(article, name="b"), setting(article, name="c", content="x"))
    await write(session, setting(article, content=None), setting(article, secret="s"))
    await session.delete(article)
    await session.commit()
    updates = [("UPDATE", "n"), ("UPDATE", "nc"), ("UPDATE", "c"), ("UPDATE", "s")]
    assert await flags() == [("INSERT", "ncs"), *updates, ("DELETE", "ncs")]
    version_class = ac.version_class(models.Article)
    renamed = select(func.count()).where(version_class.name_mod, version_class.operation_type == ac.Operation.UPDATE)
    assert await session.scalar(renamed) == 2


async def test_flags_are_net_over_flushes_and_savepoints(session, models, flags):
    article = models.Article(id=1, name="a", content="x")
    session.add(article)
    await session.flush()
    article.name = "b"
    await session.commit()

    article.name, article.content = "c", "y"
    await session.flush()
    article.name, article.secret = "b", "s"
    await session.flush()
    async with session.begin_nested() as savepoint:
        article.name = "lost"
        await session.flush()
        await savepoint.rollback()
    await session.commit()
    assert await flags() == [("INSERT", "ncs"), ("UPDATE", "cs")]


async def test_deleted_and_inserted_again_is_compared_with_what_was(session, models, flags):
    await write(session, models.Article(id=1, name="a", content="x"), models.Article(id=2, name="a"))
    for number, name in ((1, "b"), (2, "a")):
        await session.delete(await session.get_one(models.Article, number))
        await session.flush()
        session.add(models.Article(id=number, name=name, content="x"))
        await session.flush()
    await session.commit()
    assert await flags() == [("INSERT", "ncs"), ("UPDATE", "n")]
    assert await flags(2) == [("INSERT", "ncs"), ("UPDATE", "c")]
    await session.delete(await session.get_one(models.Article, 1))
    await session.commit()
    await write(session, models.Article(id=1, name="a"))
    assert (await flags())[2:] == [("DELETE", "ncs"), ("INSERT", "ncs")]


@pytest.mark.unaccounted
async def test_a_row_older_than_its_history_has_changed_in_all_that_history_knows(session, models, flags):
    article = models.Article(id=1, name="a")
    with ac.versioning_disabled():
        await write(session, article)
    await write(session, setting(article, name="b"), setting(article, content="x"))
    assert await flags() == [("UPDATE", "ncs"), ("UPDATE", "c")]


async def test_values_set_by_sql_and_rows_that_the_database_changes_are_flagged_as_stored(session, models, flags):
    article = models.Article(id=1, name="a")
    comment = models.Comment(id=1, text="t", article=article)
    await write(session, article, comment, setting(article, name=models.Article.name + "!"))
    await write(session, setting(article, name=func.upper("a!"), content=func.lower("X")))
    assert await flags() == [("INSERT", "ncs"), ("UPDATE", "n"), ("UPDATE", "nc")]
    await session.delete(article)
    await session.commit()
    versions = await ac.versions_of(session, models.Comment, 1)
    assert [(v.operation_type.name, v.text_mod, v.article_id_mod) for v in versions] == [
        ("INSERT", True, True),
        ("DELETE", True, True),
    ]


async def test_flags_are_no_part_of_a_changeset_and_the_key_has_none(session, models):
    article = models.Article(id=1, name="a")
    await write(session, article, setting(article, name="b"))
    versions = await article.awaitable_versions()
    assert await versions[1].changeset() == {"name": ac.Change("a", "b")}
    table = ac.version_table(models.Article)
    assert [c.name for c in table.c if c.name.endswith("_mod")] == ["name_mod", "body_mod", "secret_mod"]
    assert not any(table.c[name].nullable for name in ("name_mod", "body_mod"))


async def test_a_delete_version_holds_its_key_and_nothing_else(session, models):
    seat, article = models.Seat(hall="A", number=1, guest="g"), models.Article(id=1, name="a", content="x")
    await write(session, seat, article)
    for instance in (seat, article):
        await session.delete(instance)
    await session.commit()
    last = await ac.versions_of(session, models.Seat, {"hall": "A", "number": 1}).last()
    assert (last.operation_type, last.hall, last.number, last.guest) == (ac.Operation.DELETE, "A", 1, None)
    last = await ac.versions_of(session, models.Article, 1).last()
    assert (last.id, last.name, last.content) == (1, None, None)
    assert (await last.previous()).name == "a"
    assert await (await last.previous()).revert(session) is not None
    await session.commit()
    assert (await session.get_one(models.Article, 1)).content == "x"


async def test_links_and_backfilled_rows_are_flagged_too(session, models):
    article = models.Article(id=1, name="a", tags=[models.Tag(id=1, name="t")])
    await write(session, article)
    await session.execute(text("UPDATE article SET name = 'past the recording'"))
    await session.execute(update(ac.version_table(models.Tag)).values(operation_type=0))
    await session.rollback()
    with ac.versioning_disabled():
        await write(session, models.Tag(id=2, name="quiet"))
    assert await ac.backfill(session, models.Tag) == 1
    await session.commit()
    (version,) = await ac.versions_of(session, models.Tag, 2)
    assert version.name_mod
