"""The Transaction class is the user's own: with columns and a table name of its own, or mapped altogether by hand."""

from datetime import UTC

import pytest
from sqlalchemy import BigInteger, Integer, String, inspect, select
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship, selectinload

import async_continuum as ac
from async_continuum import TransactionBase, UtcDateTime, transaction_class, versioning_context
from async_continuum.plugins import TransactionChangesPlugin, TransactionMetaPlugin
from tests.chronicle import setting, write
from tests.kit.own import new_base


class Signed(TransactionBase):
    """Columns for every transaction."""

    __tablename__ = "audit"
    reason: Mapped[str | None] = mapped_column(String(50))
    ticket: Mapped[int] = mapped_column(default=7)

    def shout(self) -> str:
        return f"{self.reason}!"


def declare(Base):
    class User(Base):
        __tablename__ = "user_account"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Article(ac.Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    return User, Article


async def test_an_unmapped_class_gives_columns_methods_and_the_table_name(own, database):
    plugins = [TransactionChangesPlugin(), TransactionMetaPlugin()]
    Base, manager = own(options={"transaction_cls": Signed}, user_cls="User", plugins=plugins)
    User, Article = declare(Base)
    transaction = transaction_class(Article)
    assert issubclass(transaction, Signed)
    assert transaction.__table__.name == "audit"
    async with (await database(Base, manager))() as session:
        article = Article(id=1, name="a")
        session.add(User(id=5))
        with versioning_context(user=5, reason="import", meta={"k": "v"}):
            await write(session, article)
        await write(session, setting(article, name="b"))
        first, second = await session.scalars(select(transaction).order_by(transaction.id))
        assert (first.reason, first.user_id, first.issued_at.tzinfo) == ("import", 5, UTC)
        assert first.shout() == "import!"
        assert (await first.awaitable_attrs.user).id == 5
        assert await first.awaitable_attrs.meta == {"k": "v"}
        assert await second.entity_names() == ["Article"]
        tx = await ac.current_transaction(session, model=Article)
        tx.reason = "set on the object"
        await write(session, setting(article, name="c"))
        await session.refresh(tx)
        assert (tx.reason, tx.ticket) == ("set on the object", 7)
    ac.remove_versioning(manager=manager)
    assert set(Base.metadata.tables) == {"user_account", "article"}


async def test_a_relation_of_the_users_own_leads_to_the_versions_of_a_transaction(own, database, statements):
    Base, manager = own(user_cls=None)
    _, Article = declare(Base)
    transaction, version = transaction_class(Article), ac.version_class(Article)
    joined = transaction.id == foreign(version.transaction_id)
    inspect(transaction).add_property(
        "articles", relationship(version, primaryjoin=joined, viewonly=True, order_by=version.id)
    )
    async with (await database(Base, manager))() as session:
        article = Article(id=1, name="a")
        await write(session, article, setting(article, name="b"))
        session.add_all([Article(id=2, name="c"), Article(id=3, name="d")])
        await session.commit()
        before = len(statements)
        recent = select(transaction).order_by(transaction.id).options(selectinload(transaction.articles))
        found = (await session.scalars(recent)).all()
        assert [[each.name for each in tx.articles] for tx in found] == [["a"], ["b"], ["c", "d"]]
        assert len(statements) - before == 2
        assert found[0].articles[0].transaction is found[0]
        of_several = select(transaction.id).where(transaction.articles.any(version.name == "d"))
        assert (await session.scalars(of_several)).all() == [found[2].id]
    ac.remove_versioning(manager=manager)


@pytest.mark.parametrize("factory", [False, True], ids=["class", "function"])
async def test_a_mapped_class_is_used_as_it_is_and_stays(own, database, factory):
    Base = new_base()

    class Deed(TransactionBase, Base):
        __tablename__ = "deed"
        id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
        issued_at = mapped_column(UtcDateTime())
        user_id: Mapped[int | None]
        remote_addr: Mapped[str | None] = mapped_column(String(50))
        weight: Mapped[int] = mapped_column(default=3, server_default="3")

    seen = []

    def choose(registry):
        seen.append(registry)
        return Deed

    _, manager = own(Base, options={"transaction_cls": choose if factory else Deed}, user_cls="User")
    User, Article = declare(Base)
    assert transaction_class(Article) is Deed
    assert seen == ([Base.registry] if factory else [])
    async with (await database(Base, manager))() as session:
        session.add(User(id=5))
        with versioning_context(user=5, weight=4):
            await write(session, Article(id=1, name="a"))
        (deed,) = await session.scalars(select(Deed))
        assert (deed.weight, (await deed.awaitable_attrs.user).id) == (4, 5)
        assert [cls.__name__ for cls in await deed.changed_entities()] == ["ArticleVersion"]
    ac.remove_versioning(manager=manager)
    assert set(Base.metadata.tables) == {"user_account", "article", "deed"}


class Plain(TransactionBase):
    """Nothing of its own."""


def test_what_cannot_sign_is_refused_by_name(own):
    Base = new_base()

    class Wrong(TransactionBase, Base):
        __tablename__ = "wrong"
        number: Mapped[int] = mapped_column(primary_key=True)

    class Naive(TransactionBase, Base):
        __tablename__ = "naive"
        id: Mapped[int] = mapped_column(primary_key=True)

    elsewhere = new_base()
    for given, base, problem in (
        ("transaction", Base, "must be a class derived from TransactionBase"),
        (object, Base, "derive it from TransactionBase"),
        (lambda registry: None, Base, "derive the class from TransactionBase"),
        (Wrong, Base, "must be one column, id"),
        (Naive, Base, "UtcDateTime"),
        (Naive, elsewhere, "another registry"),
    ):
        with pytest.raises(ac.ImproperlyConfigured, match=problem) as caught:
            own(base, options={"transaction_cls": given})
            declare(type("Child", (base,), {"__abstract__": True}))
        assert caught.value.option == "transaction_cls"


def test_two_registries_have_a_class_of_their_own_each(own):
    Base, _ = own(options={"transaction_cls": Plain})
    Other, _ = own(options={"transaction_cls": Plain})
    (_, first), (_, second) = declare(Base), declare(Other)
    assert transaction_class(first) is not transaction_class(second)
    assert transaction_class(first).__table__.name == "transaction"
