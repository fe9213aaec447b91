"""A transaction knows its user, whatever the class of users is, and wherever it is declared."""

import uuid

import pytest
from sqlalchemy import Integer, String, Uuid, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, configure_mappers, mapped_column

from async_continuum import (
    ImproperlyConfigured,
    Versioned,
    VersioningManager,
    current_transaction,
    make_versioned,
    remove_versioning,
    transaction_class,
    versioning_context,
    versions_of,
)
from tests.kit.databases import Databases
from tests.kit.own import Own, new_base


def _article(base: type) -> type:
    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    return Article


def _account(base: type, name: str = "Account") -> type:
    return type(
        name,
        (base,),
        {
            "__module__": __name__,
            "__tablename__": "account",
            "id": mapped_column(Integer, primary_key=True),
            "name": mapped_column(String(50)),
        },
    )


async def _signs(database: Databases, Base: type, manager: VersioningManager, Article: type, Account: type) -> None:
    sessions = await database(Base, manager)
    async with sessions() as session:
        account = Account(name="ann")
        session.add(account)
        await session.commit()
        with versioning_context(user=account):
            session.add(Article())
            await session.commit()
    async with sessions() as session:
        (version,) = await versions_of(session, Article, 1)
        transaction = await version.awaitable_attrs.transaction
        assert transaction.user_id == 1
        assert (await transaction.awaitable_attrs.user).name == "ann"


@pytest.mark.parametrize("called", ["name", "dotted name"])
@pytest.mark.parametrize("first", ["users", "articles"])
async def test_a_name_is_found_before_and_after(own: Own, database: Databases, called: str, first: str) -> None:
    Base, manager = own(user_cls="Account" if called == "name" else f"{__name__}.Account")
    if first == "users":
        Account, Article = _account(Base), _article(Base)
    else:
        Article, Account = _article(Base), _account(Base)
    await _signs(database, Base, manager, Article, Account)


@pytest.mark.parametrize("configured", [False, True])
async def test_a_class_that_is_declared_before(own: Own, database: Databases, configured: bool) -> None:
    Base = new_base()
    Account = _account(Base)
    if configured:
        configure_mappers()
    _, manager = own(Base, user_cls=Account)
    await _signs(database, Base, manager, _article(Base), Account)


async def test_models_and_users_that_are_all_declared_before(own: Own, database: Databases) -> None:
    Base = new_base()
    Account, Article = _account(Base), _article(Base)
    configure_mappers()
    _, manager = own(Base, user_cls="Account")
    await _signs(database, Base, manager, Article, Account)


async def test_the_class_is_called_user_unless_it_is_said_otherwise(database: Databases) -> None:
    Base, manager = new_base(), VersioningManager()
    make_versioned(mapper=Base, manager=manager)
    User, Article = _account(Base, "User"), _article(Base)
    await _signs(database, Base, manager, Article, User)
    await database.assert_invariants()
    database.managers.clear()
    remove_versioning(manager=manager)


async def test_a_class_of_another_base_given_by_itself(own: Own, database: Databases) -> None:
    Base, Users = new_base(), new_base()
    Account = _account(Users)
    _, manager = own(Base, user_cls=Account)
    Article = _article(Base)
    await database(Users, manager)
    await _signs(database, Base, manager, Article, Account)


async def test_a_name_of_another_base_is_found_where_the_own_one_has_none(own: Own, database: Databases) -> None:
    Base, Users = new_base(), new_base()
    # A name that no model of another test has: of several, any may be found.
    _, manager = own(Base, user_cls="Subscriber")
    Article, Account = _article(Base), _account(Users, "Subscriber")
    await database(Users, manager)
    await _signs(database, Base, manager, Article, Account)


def test_the_class_of_the_own_base_goes_before_one_of_another(own: Own) -> None:
    Base, Users = new_base(), new_base()
    _account(Users)
    own(Base, user_cls="Account")
    Article = _article(Base)
    Account = _account(Base)
    configure_mappers()
    assert inspect(transaction_class(Article)).relationships["user"].mapper.class_ is Account


NOT_FOUND = r"user_cls='Acount' is no mapped class.*switch it off with make_versioned\(user_cls=None\)"


def test_a_name_that_is_not_found_says_how_to_switch_it_off(own: Own) -> None:
    Base, _ = own(user_cls="Acount")
    _article(Base)
    _account(Base)
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match=NOT_FOUND) as caught:
            Base.registry.configure()
        assert caught.value.option == "user_cls"
        assert isinstance(caught.value, SQLAlchemyError)
    _account(new_base(), "Acount")
    Base.registry.configure(cascade=True)


async def test_a_name_that_is_not_found_fails_create_all_each_time(own: Own, database: Databases) -> None:
    Base, _ = own(user_cls="Acount")
    _article(Base)
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match=NOT_FOUND):
            async with database.engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)


async def test_a_name_that_is_not_found_fails_a_query_and_a_flush_each_time(own: Own, database: Databases) -> None:
    Base, _ = own(user_cls="Acount")
    Article = _article(Base)
    from sqlalchemy.ext.asyncio import AsyncSession

    async with AsyncSession(database.engine) as session:
        for _ in range(2):
            with pytest.raises(ImproperlyConfigured, match=NOT_FOUND):
                session.add(Article())
        with pytest.raises(ImproperlyConfigured, match=NOT_FOUND):
            await session.get(Article, 1)


def test_without_users_a_transaction_has_no_user(own: Own) -> None:
    Base, _ = own(user_cls=None)
    Article = _article(Base)
    configure_mappers()
    assert set(inspect(transaction_class(Article)).attrs.keys()) == {"id", "issued_at", "remote_addr"}


async def test_a_context_with_a_user_and_no_user_class_fails_the_flush(own: Own, database: Databases) -> None:
    Base, manager = own(user_cls=None)
    Article = _article(Base)
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add(Article())
        with versioning_context(user=5), pytest.raises(ImproperlyConfigured, match=r"user_cls=\.\.\."):
            await session.commit()


@pytest.mark.parametrize(
    ("type_", "key"),
    [(Uuid, uuid.UUID("12345678123456781234567812345678")), (String(20), "ann"), (String(20), "o'hara\\%")],
)
async def test_a_key_of_any_type(own: Own, database: Databases, type_: object, key: object) -> None:
    Base, manager = own(user_cls="Account")

    class Account(Base):
        __tablename__ = "account"
        code = mapped_column("code no", type_, primary_key=True)

    Article = _article(Base)
    sessions = await database(Base, manager)
    async with sessions() as session:
        account = Account(code=key)
        session.add(account)
        await session.flush()
        with versioning_context(user=account):
            session.add(Article())
            await session.commit()
        Transaction = transaction_class(Article)
        transaction = (await session.scalars(select(Transaction).where(Transaction.user_id == key))).one()
        assert transaction.user_id == key
        assert await transaction.awaitable_attrs.user is account


async def test_a_transaction_is_signed_with_an_object_or_a_key(own: Own, database: Databases) -> None:
    Base, manager = own(user_cls="Account")
    Article, Account = _article(Base), _account(Base)
    sessions = await database(Base, manager)
    async with sessions() as session:
        session.add_all([Account(id=1, name="ann"), Account(id=2, name="bob")])
        await session.commit()
        for name, value in (("user_id", 1), ("user", await session.get_one(Account, 2))):
            setattr(await current_transaction(session, model=Article), name, value)
            session.add(Article())
            await session.commit()
        Transaction = transaction_class(Article)
        signed = await session.scalars(select(Transaction.user_id).order_by(Transaction.id))
        assert signed.all() == [1, 2]


async def test_a_user_can_be_deleted_and_history_still_says_who(own: Own, database: Databases) -> None:
    Base, manager = own(user_cls="Account")
    Article, Account = _article(Base), _account(Base)
    await _signs(database, Base, manager, Article, Account)
    assert not transaction_class(Article).__table__.foreign_keys
    sessions = await database(Base, manager)
    async with sessions() as session:
        await session.delete(await session.get_one(Account, 1))
        await session.commit()
        transaction = (await session.scalars(select(transaction_class(Article)))).one()
        assert transaction.user_id == 1
        assert await transaction.awaitable_attrs.user is None


async def test_users_may_be_versioned_themselves(own: Own, database: Databases) -> None:
    Base, manager = own(user_cls="Account")

    class Account(Versioned, Base):
        __tablename__ = "account"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    await _signs(database, Base, manager, _article(Base), Account)


@pytest.mark.parametrize("first", ["users", "articles"])
def test_a_composite_key_is_refused(own: Own, first: str) -> None:
    Base, _ = own(user_cls="Account")

    def declare() -> type:
        class Account(Base):
            __tablename__ = "account"
            realm: Mapped[str] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(primary_key=True)

        return Account

    with pytest.raises(ImproperlyConfigured, match=r"composite primary key.*user_cls=None") as caught:
        # Kept in a list: a registry does not keep its classes alive.
        declarations = [declare, lambda: _article(Base)]
        kept = [make() for make in (declarations if first == "users" else reversed(declarations))]
        assert kept
    assert caught.value.option == "user_cls"
    assert caught.value.model.__name__ == "Account"
