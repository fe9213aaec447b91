"""What those who come from SQLAlchemy-Continuum ask a manager for says what to do instead."""

import copy

import pytest
from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import Versioned, VersioningManager, version_class


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("options", "versioning_disabled"),
        ("plugins", "plugins=\\["),
        ("transaction_cls", "transaction_class"),
        ("activity_cls", "ActivityPlugin"),
        ("unit_of_work", "current_transaction"),
        ("version_class_map", "version_class"),
        ("option", "tx_column_name"),
    ],
)
def test_a_manager_names_what_takes_the_place_of_what_is_gone(name, instead):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; here: .*{instead}"):
        getattr(VersioningManager(), name)


def test_anything_else_is_an_ordinary_missing_attribute():
    manager = VersioningManager()
    assert not hasattr(manager, "options")
    with pytest.raises(AttributeError, match=r"'VersioningManager' object has no attribute 'opitons'$"):
        manager.opitons  # noqa: B018
    assert copy.copy(manager).is_active is False


def test_a_version_class_says_how_it_is_queried(own):
    Base, _ = own()

    class Article(Versioned, Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)

    with pytest.raises(AttributeError, match=r"here: select\(ArticleVersion\)"):
        version_class(Article).query  # noqa: B018
