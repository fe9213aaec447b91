"""One set of models under each strategy, for tests of what is promised under both."""

import uuid
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import JSON, Computed, Identity, Numeric, String, Text, Uuid, func, text
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, synonym

from async_continuum import Versioned, VersioningManager, make_versioned


def chronicle(strategy: str) -> SimpleNamespace:
    """Make the models, each with its history under `strategy`, and the manager that keeps it."""

    class Base(AsyncAttrs, DeclarativeBase):
        pass

    manager = make_versioned(mapper=Base, manager=VersioningManager(), options={"strategy": strategy}, user_cls="User")

    class User(Base):
        __tablename__ = "user_account"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(255))
        content: Mapped[str | None] = mapped_column(Text)

        title: Mapped[str] = synonym("name")
        length = column_property(func.length(name))

        @hybrid_property
        def shouted(self) -> str:
            return self.name + "!"

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))

    class Seat(Versioned, Base):
        """A key of two columns, in another order than that of the table."""

        __tablename__ = "seat"
        guest: Mapped[str | None] = mapped_column(String(50))
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        hall: Mapped[str] = mapped_column(String(20), primary_key=True)

    class Device(Versioned, Base):
        __tablename__ = "device"
        id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
        label: Mapped[str | None] = mapped_column(String(50), default="nameless", server_default="nameless")

        def __init__(self, **values: Any) -> None:
            self.made = True
            super().__init__(**values)

    class Account(Versioned, Base):
        """Values that the database, or optimistic locking, looks after."""

        __tablename__ = "account"
        id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
        balance: Mapped[int]
        doubled: Mapped[int] = mapped_column(Computed("balance * 2", persisted=True))
        counter: Mapped[int] = mapped_column()
        revision: Mapped[int] = mapped_column(server_default="1", onupdate=text("revision + 1"))
        notes: Mapped[str | None] = mapped_column(Text, deferred=True)
        secret: Mapped[str | None] = mapped_column(Text, deferred=True, deferred_raiseload=True)

        __mapper_args__ = {"version_id_col": counter}

    class Thing(Versioned, Base):
        """Values that need care when they are compared and copied."""

        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        amount: Mapped[Decimal | None] = mapped_column(Numeric)
        document: Mapped[Any] = mapped_column(JSON, nullable=True)
        options: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(JSON))
        token: Mapped[uuid.UUID | None] = mapped_column(Uuid)
        flag: Mapped[bool | None]

    class Profile(Versioned, Base):
        __versioned__ = {"exclude": ["password", "hint"]}
        __tablename__ = "profile"
        id: Mapped[int] = mapped_column(primary_key=True)
        nickname: Mapped[str] = mapped_column(String(50))
        password: Mapped[str] = mapped_column("passwd", String(50))
        hint: Mapped[str | None] = mapped_column(String(50))

    class Bookmark(Versioned, Base):
        """Attributes called like what a version can do."""

        __tablename__ = "bookmark"
        id: Mapped[int] = mapped_column(primary_key=True)
        index: Mapped[int | None]
        next: Mapped[str | None] = mapped_column(String(50))
        previous: Mapped[str | None] = mapped_column(String(50))
        diff: Mapped[str | None] = mapped_column(String(50))
        changeset: Mapped[str | None] = mapped_column(String(50))
        revert: Mapped[str | None] = mapped_column(String(50))
        transaction: Mapped[str | None] = mapped_column(String(50))

    mapped = (User, Article, Tag, Seat, Device, Account, Thing, Profile, Bookmark)
    return SimpleNamespace(
        Base=Base,
        manager=manager,
        strategy=strategy,
        versioned=mapped[1:],
        **{model.__name__: model for model in mapped},
    )


CHRONICLES = {strategy: chronicle(strategy) for strategy in ("validity", "subquery")}


@pytest.fixture(params=CHRONICLES)
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The models under each strategy."""
    return CHRONICLES[request.param]


@pytest.fixture
def base(models: SimpleNamespace) -> type[DeclarativeBase]:
    """What `sessions` creates."""
    return models.Base


@pytest.fixture
def manager(models: SimpleNamespace) -> VersioningManager:
    """What the invariants are proved of."""
    return models.manager


async def write(session: Any, *steps: Any) -> None:
    """Do one thing in each of several transactions: add an object, or call a function."""
    for step in steps:
        if callable(step):
            step()
        else:
            session.add(step)
        await session.commit()


def setting(instance: Any, **values: Any) -> Any:
    """Give a step for `write` that sets attributes."""

    def step() -> None:
        for name, value in values.items():
            setattr(instance, name, value)

    return step
