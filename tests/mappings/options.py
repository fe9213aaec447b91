"""Options: each alone, and together, on classes of every shape."""

from sqlalchemy import ForeignKey, event, inspect, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from async_continuum import Versioned, version_table
from tests.kit import mode
from tests.mappings.entry import mapping

NEW, CHANGE = {"id": 1, "name": "a"}, {"name": "b"}
SCHEMAS = {"backends": ("postgresql",), "reason": "SQLite has no schemas but attached databases"}


def article(base, **options):
    """Declare a plain class with options."""

    class Article(Versioned, base):
        __tablename__ = "article"
        __versioned__ = options
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        secret: Mapped[str | None]

    return Article


def cat(base, **options):
    """Declare a hierarchy with options at its top."""

    class Animal(Versioned, base):
        __tablename__ = "animal"
        __versioned__ = options
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        secret: Mapped[str | None]
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Cat(Animal):
        __tablename__ = "cat"
        id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
        lives: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    return Cat


@mapping("table_name", new=NEW, change=CHANGE, options={"table_name": "history_of_%s"})
def _(base):
    return article(base)


@mapping("exclude", new={**NEW, "secret": "x"}, change=CHANGE)
def _(base):
    return article(base, exclude=["secret"])


@mapping("exclude in a hierarchy", new={**NEW, "secret": "x"}, change=CHANGE)
def _(base):
    return cat(base, exclude=["secret"])


@mapping("include over a global exclude", new=NEW, change={"secret": "y"}, options={"exclude": ["secret"]})
def _(base):
    return article(base, include=["secret"])


@mapping("use_module_name", new=NEW, change=CHANGE, options={"use_module_name": True})
def _(base):
    return cat(base)


class Labelled:
    """A base of the user's own for version classes."""

    def label(self) -> str:
        return type(self).__name__


@mapping("base_classes in a hierarchy", new=NEW, change=CHANGE, options={"base_classes": (Labelled,)})
def _(base):
    return cat(base)


@mapping("the audit schema", new=NEW, change=CHANGE, options={"schema": "audit"}, **SCHEMAS)
def _(base):
    return article(base)


@mapping("the audit schema for a hierarchy", new=NEW, change={"lives": 8}, options={"schema": "audit"}, **SCHEMAS)
def _(base):
    return cat(base)


@mapping("a strategy of its own", new=NEW, change=CHANGE)
def _(base):
    return article(base, strategy="subquery")


@mapping("a strategy of a hierarchy's own", new=NEW, change={"lives": 8})
def _(base):
    return cat(base, strategy="subquery")


@mapping("versioning False for all but one", new=NEW, change=CHANGE, options={"versioning": False})
def _(base):
    return article(base, versioning=True)


@mapping(
    "columns of the user's own called like ours",
    new={**NEW, "transaction_id": 7},
    change={"operation_type": "x"},
    options={
        "transaction_column_name": "version_id",
        "end_transaction_column_name": "version_end_id",
        "operation_type_column_name": "version_operation",
    },
)
def _(base):
    class Article(Versioned, base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        transaction_id: Mapped[int | None]
        end_transaction_id: Mapped[int | None]
        operation_type: Mapped[str | None]

    return Article


@mapping(
    "every option at once",
    new={**NEW, "secret": "x"},
    change={"name": "b", "lives": 8},
    options={
        "table_name": "%s_history",
        "transaction_table_name": "changes",
        "transaction_column_name": "change_id",
        "end_transaction_column_name": "next_change_id",
        "operation_type_column_name": "change_kind",
        "exclude": ["secret"],
        "use_module_name": True,
        "base_classes": (Labelled,),
        "unrecorded": "raise",
    },
)
def _(base):
    return cat(base)


@mapping("transaction_table_name", new=NEW, change=CHANGE, options={"transaction_table_name": "changes"})
def _(base):
    return article(base)


@mapping("the names of our columns", new=NEW, change=CHANGE)
def _(base):
    return article(
        base, transaction_column_name="tx", end_transaction_column_name="until", operation_type_column_name="done"
    )


@mapping("record_if", new=NEW, change=CHANGE)
def _(base):
    # A trigger cannot ask a function.
    return article(base, record_if=true() if mode.is_native() else lambda change: True)


@mapping("past_default", new={**NEW, "secret": "x"}, change=CHANGE)
def _(base):
    return article(base, exclude=["secret"], past_default={"secret": "?"})


@mapping("unrecorded", new=NEW, change=CHANGE, options={"unrecorded": "raise"})
def _(base):
    return article(base)


@mapping("create_models, for all but one", new=NEW, change=CHANGE, options={"create_models": False})
def _(base):
    class Author(Versioned, base):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Article(Versioned, base):
        __tablename__ = "article"
        __versioned__ = {"create_models": True}
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
        author: Mapped[Author | None] = relationship(backref="articles")

    return Article


def create_beside(table, connection, **_):
    """Create a version table as a migration would."""
    version_table(table).create(connection)


@mapping("create_tables", new=NEW, change=CHANGE, options={"create_tables": False})
def _(base):
    Article = article(base)
    event.listen(Article.__table__, "after_create", create_beside)
    return Article


@mapping("create_tables in a hierarchy", new={**NEW, "lives": 9}, change={"lives": 8}, options={"create_tables": False})
def _(base):
    Cat = cat(base)
    for table in inspect(Cat).tables:
        event.listen(table, "after_create", create_beside)
    return Cat


TRIGGERS = {"backends": ("postgresql",), "reason": "only PostgreSQL has triggers that record"}


@mapping("native_versioning", new=NEW, change=CHANGE, options={"native_versioning": True}, **TRIGGERS)
def _(base):
    return article(base)


@mapping("native_versioning of one class", new=NEW, change=CHANGE, **TRIGGERS)
def _(base):
    return article(base, native_versioning=True)


@mapping(
    "native_versioning of a hierarchy, in the audit schema",
    new={**NEW, "lives": 9},
    change={"name": "b", "lives": 8},
    options={"native_versioning": True, "schema": "audit"},
    **TRIGGERS,
)
def _(base):
    return cat(base, exclude=["secret"])


@mapping("append_only", new=NEW, change=CHANGE, options={"native_versioning": True, "append_only": True}, **TRIGGERS)
def _(base):
    return article(base)


@mapping(
    "append_only in a hierarchy",
    new={**NEW, "lives": 9},
    change={"name": "b", "lives": 8},
    options={"native_versioning": True, "append_only": True},
    **TRIGGERS,
)
def _(base):
    return cat(base)
