"""Plain functions find the history of a class, an object or a table; what has none says so."""

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, inspect

import async_continuum as ac
from tests import domain
from tests.domain import Article, Person, Price, User

ArticleVersion = ac.version_class(Article)


def test_from_a_model_to_its_version_class_and_back() -> None:
    assert ArticleVersion.__name__ == "ArticleVersion"
    assert issubclass(ArticleVersion, ac.Version)
    assert ac.parent_class(ArticleVersion) is Article


def test_version_tables_are_found_by_model_and_by_table() -> None:
    assert ac.version_table(Article) is inspect(ArticleVersion).local_table
    assert ac.version_table(Article.__table__) is ac.version_table(Article)


def test_one_transaction_class_signs_all_models_of_a_registry() -> None:
    Transaction = ac.transaction_class(Article)
    assert issubclass(Transaction, ac.TransactionBase)
    assert ac.transaction_class(Person) is Transaction
    assert ac.transaction_class(ArticleVersion) is Transaction


def test_is_versioned_takes_classes_objects_and_tables() -> None:
    assert all(map(ac.is_versioned, (Article, Article(), Article.__table__, Price, domain.Note)))
    nothing = (User, User(), User.__table__, ArticleVersion, ac.version_table(Article), str, "Article", None, 3)
    assert not any(map(ac.is_versioned, nothing))


def test_column_names_are_found_by_model_object_and_version_class() -> None:
    for target in (Article, Article(), ArticleVersion):
        assert ac.tx_column_name(target) == "transaction_id"
        assert ac.end_tx_column_name(target) == "end_transaction_id"


def test_the_manager_is_found_by_model_object_and_version_class() -> None:
    for target in (Article, Article(), ArticleVersion):
        assert ac.get_versioning_manager(target) is domain.manager


NOT_VERSIONED: list[tuple[Any, Any]] = [(User, User), (User(), User), (str, str), ("text", str), (None, type(None))]


@pytest.mark.parametrize(("target", "culprit"), NOT_VERSIONED)
@pytest.mark.parametrize(
    "find",
    [
        ac.version_class,
        ac.parent_class,
        ac.transaction_class,
        ac.version_table,
        ac.tx_column_name,
        ac.end_tx_column_name,
        ac.get_versioning_manager,
        ac.deleted,
    ],
)
def test_what_is_not_versioned_says_so_and_what_to_do(find: Any, target: Any, culprit: type) -> None:
    with pytest.raises(ac.ClassNotVersioned, match=r"is not versioned.*Versioned.*make_versioned\(\)") as caught:
        find(target)
    assert caught.value.model is culprit


def test_a_table_that_is_not_versioned_says_so() -> None:
    table = Table("loose", MetaData(), Column("id", Integer, primary_key=True))
    with pytest.raises(ac.ClassNotVersioned, match="loose") as caught:
        ac.version_table(table)
    assert caught.value.model is table


def test_a_version_class_has_no_version_class() -> None:
    with pytest.raises(ac.ClassNotVersioned):
        ac.version_class(ArticleVersion)


def test_a_model_is_no_version_class() -> None:
    with pytest.raises(ac.ClassNotVersioned):
        ac.parent_class(Article)


@pytest.mark.parametrize(
    "error",
    [
        ac.ClassNotVersioned(Article),
        ac.ImproperlyConfigured("it is wrong.", model=Article, option="exclude"),
        ac.NoSession(Article()),
        ac.RevertError("it is gone.", version=ArticleVersion(), path="tags"),
        ac.ReadOnlySession("UPDATE"),
        ac.UnrecordedStatement("UPDATE"),
        ac.ColumnNotVersioned(Article.name),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_has_one_base_and_carries_its_culprit(error: ac.VersioningError) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    assert isinstance(error, ac.VersioningError)
    assert isinstance(error, SQLAlchemyError)
    assert str(error)
    assert [value for value in vars(error).values() if value is not None]
