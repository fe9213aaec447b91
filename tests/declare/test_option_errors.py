"""A misspelt option, an unknown column and a bad value are refused at once, with what was meant."""

from typing import Any

import pytest
from sqlalchemy import Column, Integer, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import ImproperlyConfigured, Options, Versioned, VersioningManager, is_versioned, make_versioned
from tests.kit.own import Own, new_base

# Option, value, and what the message says besides the option's name.
BAD: list[tuple[str, Any, str]] = [
    ("stategy", "subquery", "Did you mean 'strategy'"),
    ("excluded", ["name"], "Did you mean 'exclude'"),
    ("tablename", "%s_history", "Did you mean 'table_name'"),
    ("zzz", 1, "Valid: append_only, base_classes"),
    ("strategy", "validty", "Did you mean 'validity'"),
    ("strategy", None, "'validity' or 'subquery'"),
    ("strategy", ["validity"], "'validity' or 'subquery'"),
    ("unrecorded", "shout", "'raise', 'warn' or 'ignore'"),
    ("table_name", "history", "one %s"),
    ("table_name", "%s", "one %s"),
    ("table_name", "%s_%s", "one %s"),
    ("table_name", "%s_%d", "one %s"),
    ("table_name", "100%_%s", "one %s"),
    ("table_name", None, "one %s"),
    ("exclude", "name", "list of attribute names"),
    ("exclude", None, "list of attribute names"),
    ("exclude", 5, "list of attribute names"),
    ("exclude", [5], "list of attribute names"),
    ("include", "name", "list of attribute names"),
    ("versioning", "yes", "True or False"),
    ("create_models", 1, "True or False"),
    ("create_tables", None, "True or False"),
    ("use_module_name", "no", "True or False"),
    ("native_versioning", "yes", "True or False"),
    ("append_only", 0, "True or False"),
    ("transaction_column_name", "", "must be a name"),
    ("transaction_column_name", None, "must be a name"),
    ("end_transaction_column_name", 3, "must be a name"),
    ("operation_type_column_name", ["op"], "must be a name"),
    ("end_transaction_column_name", "transaction_id", "a name of its own"),
    ("operation_type_column_name", "END_transaction_id", "a name of its own"),
    ("base_classes", Versioned, "tuple of classes"),
    ("base_classes", ("Base",), "tuple of classes"),
    ("schema", "", "name of a schema"),
    ("schema", 5, "name of a schema"),
    ("create_composite_index", True, "has no use here.*remove the option"),
    ("record_if", 5, "a SQL expression on the row, or a function"),
    ("past_default", ["name"], "must be a dict of values by the names of excluded columns"),
]
GLOBAL_BAD: list[tuple[str, Any, str]] = [
    ("transaction_table_name", "", "must be a name"),
    ("transaction_table_name", None, "must be a name"),
    ("transaction_cls", object, "TransactionBase"),
    ("transaction_tablename", "tx", "Did you mean 'transaction_table_name'"),
]


def _ids(cases: list[tuple[str, Any, str]]) -> list[str]:
    return [f"{name}={value!r}" for name, value, _ in cases]


@pytest.mark.parametrize(("option", "value", "said"), BAD, ids=_ids(BAD))
@pytest.mark.parametrize("mixin", [True, False], ids=["mixin", "attribute"])
def test_a_class_is_refused_when_it_is_declared(own: Own, option: str, value: Any, said: str, mixin: bool) -> None:
    Base, manager = own()
    bases = (Versioned, Base) if mixin else (Base,)
    body = {
        "__module__": __name__,
        "__tablename__": "article",
        "__versioned__": {option: value},
        "id": mapped_column(Integer, primary_key=True),
        "name": mapped_column(String(50)),
    }
    with pytest.raises(ImproperlyConfigured, match=f"(?s){option}.*{said}") as caught:
        type("Article", bases, body)
    assert f"{__name__}.Article: " in str(caught.value)
    assert caught.value.model.__name__ == "Article"
    assert caught.value.option == option
    assert manager.models == ()


@pytest.mark.parametrize(("option", "value", "said"), [*BAD, *GLOBAL_BAD], ids=_ids([*BAD, *GLOBAL_BAD]))
def test_make_versioned_is_refused(option: str, value: Any, said: str) -> None:
    manager = VersioningManager()
    with pytest.raises(ImproperlyConfigured, match=f"(?s){option}.*{said}") as caught:
        make_versioned(mapper=new_base(), manager=manager, user_cls=None, options={option: value})  # type: ignore[misc]
    assert caught.value.model is None
    assert caught.value.option == option
    assert not manager.is_active


def test_the_mixin_refuses_before_there_is_a_manager() -> None:
    with pytest.raises(ImproperlyConfigured, match="Did you mean 'exclude'"):

        class Article(Versioned):
            __versioned__ = {"exlude": ["name"]}  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize("options", [True, [], "exclude", object])
def test_options_that_are_no_dict_are_refused(own: Own, options: object) -> None:
    Base, _ = own()
    body = {"__module__": __name__, "__tablename__": "a", "id": mapped_column(Integer, primary_key=True)}
    with pytest.raises(ImproperlyConfigured, match="must be a dict of options"):
        type("Article", (Base,), {**body, "__versioned__": options})
    with pytest.raises(ImproperlyConfigured, match="must be a dict of options"):
        make_versioned(mapper=Base, manager=VersioningManager(), options=options)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["transaction_table_name", "transaction_cls"])
def test_an_option_of_all_classes_is_refused_on_one(own: Own, option: str) -> None:
    Base, _ = own()
    with pytest.raises(ImproperlyConfigured, match=r"holds for all classes.*make_versioned\(options") as caught:

        class Article(Base):
            __versioned__ = {option: "tx"}
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)

    assert caught.value.option == option


@pytest.mark.parametrize("option", ["exclude", "include"])
def test_an_unknown_column_is_refused_with_the_nearest_one(own: Own, option: str) -> None:
    Base, _ = own()
    with pytest.raises(ImproperlyConfigured, match=f"'{option}' names 'nmae'.*Did you mean 'name'") as caught:

        class Article(Versioned, Base):
            __versioned__: Options = {option: ["nmae"]}  # type: ignore[misc]
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str]

    assert caught.value.option == option
    assert caught.value.model.__name__ == "Article"


def test_a_column_that_only_some_models_have_may_be_excluded_from_all(own: Own) -> None:
    Base, _ = own(options={"exclude": ["updated_at"]})

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        updated_at: Mapped[str]

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert is_versioned(Article)
    assert is_versioned(Tag)
    assert "updated_at" not in Base.metadata.tables["article_version"].c


def test_a_key_column_cannot_be_excluded(own: Own) -> None:
    Base, _ = own()
    with pytest.raises(ImproperlyConfigured, match=r"'exclude' names 'id'.*primary key") as caught:

        class Article(Versioned, Base):
            __versioned__ = {"exclude": ["id"]}
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)

    assert caught.value.option == "exclude"


CLASHES = [
    ("transaction_id", "transaction_column_name"),
    ("end_transaction_id", "end_transaction_column_name"),
    ("operation_type", "operation_type_column_name"),
]


@pytest.mark.parametrize("strategy", ["validity", "subquery"])
@pytest.mark.parametrize("where", ["attribute and column", "attribute", "column", "upper case column"])
@pytest.mark.parametrize(("name", "option"), CLASHES)
def test_a_column_called_like_ours_names_the_option_that_renames_ours(
    own: Own, name: str, option: str, where: str, strategy: str
) -> None:
    Base, _ = own(options={"strategy": strategy})
    attribute = name if "attribute" in where else "mine"
    column = {"attribute": "mine", "upper case column": name.upper()}.get(where, name)
    body = {
        "__module__": __name__,
        "__tablename__": "article",
        "id": mapped_column(Integer, primary_key=True),
        attribute: mapped_column(column, Integer),
    }
    with pytest.raises(ImproperlyConfigured, match=f"(?i){name}.*Rename ours with the option '{option}'") as caught:
        type("Article", (Versioned, Base), body)
    assert caught.value.option == option
    assert caught.value.model.__name__ == "Article"


@pytest.mark.parametrize(("name", "option"), CLASHES)
def test_ours_renamed_lives_beside_it(own: Own, name: str, option: str) -> None:
    Base, _ = own()
    body = {
        "__module__": __name__,
        "__tablename__": "article",
        "__versioned__": {option: f"_{name}"},
        "id": mapped_column(Integer, primary_key=True),
        name: mapped_column(Integer),
    }
    Article = type("Article", (Versioned, Base), body)
    assert {name, f"_{name}"} <= set(Base.metadata.tables["article_version"].c.keys())
    assert is_versioned(Article)


def test_a_version_table_that_exists_already_is_refused(own: Own) -> None:
    Base, _ = own()
    Table("article_version", Base.metadata, Column("id", Integer, primary_key=True))
    with pytest.raises(ImproperlyConfigured, match=r"'article_version', which exists already.*'table_name'") as caught:

        class Article(Versioned, Base):
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)

    assert caught.value.option == "table_name"


def test_a_transaction_table_of_the_users_own_names_the_option(own: Own) -> None:
    Base, manager = own()
    Table("transaction", Base.metadata, Column("id", Integer, primary_key=True))
    with pytest.raises(ImproperlyConfigured, match=r"'transaction' exists already.*transaction_table_name") as caught:

        class Article(Versioned, Base):
            __tablename__ = "article"
            id: Mapped[int] = mapped_column(primary_key=True)

    assert caught.value.option == "transaction_table_name"
    assert manager.transaction_classes == ()


def test_a_table_of_the_users_own_declared_later_names_the_option(own: Own) -> None:
    Base, _ = own()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    with pytest.raises(Exception, match="'transaction' is already defined"):
        Table("transaction", Base.metadata, Column("id", Integer, primary_key=True))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("strategy", "subquery"),
        ("transaction_column_name", "tx"),
        ("end_transaction_column_name", "until"),
        ("operation_type_column_name", "op"),
        ("create_models", False),
    ],
)
def test_the_classes_of_a_hierarchy_are_versioned_in_one_way(own: Own, option: str, value: object) -> None:
    Base, _ = own()

    class Item(Versioned, Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "item"}

    with pytest.raises(ImproperlyConfigured, match="one hierarchy is versioned in one way") as caught:

        class Article(Item):
            __versioned__ = {option: value}
            __mapper_args__ = {"polymorphic_identity": "article"}

    assert caught.value.model.__name__ == "Article"
    assert caught.value.option == option


def test_what_a_class_inherits_is_excluded_where_it_is_declared(own: Own) -> None:
    Base, _ = own()

    class Item(Versioned, Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        secret: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "item"}

    with pytest.raises(ImproperlyConfigured, match="kept by the class above: exclude it there") as caught:

        class Article(Item):
            __versioned__ = {"exclude": ["secret"]}
            __mapper_args__ = {"polymorphic_identity": "article"}

    assert caught.value.option == "exclude"


def test_the_column_that_names_the_class_cannot_be_excluded(own: Own) -> None:
    Base, _ = own()

    with pytest.raises(ImproperlyConfigured, match="by which rows say of which class they are") as caught:

        class Item(Versioned, Base):
            __tablename__ = "item"
            __versioned__ = {"exclude": ["kind"]}
            id: Mapped[int] = mapped_column(primary_key=True)
            kind: Mapped[str]
            __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "item"}

    assert caught.value.option == "exclude"
