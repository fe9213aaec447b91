"""What cannot be versioned is refused when its class is built, by name and with the reason; never at a flush."""

import pytest
from sqlalchemy import Column, ForeignKey, Integer, Table, join, select
from sqlalchemy.orm import Mapped, column_property, mapped_column

from async_continuum import ImproperlyConfigured, Versioned, is_versioned


def test_a_class_that_is_mapped_to_a_join(own):
    Base, _ = own()
    left = Table("left_half", Base.metadata, Column("id", Integer, primary_key=True))
    right = Table("right_half", Base.metadata, Column("id", ForeignKey("left_half.id"), primary_key=True))

    with pytest.raises(ImproperlyConfigured, match="which is no table: only tables keep a history") as caught:

        class Both(Versioned, Base):
            __table__ = join(left, right)
            id = column_property(left.c.id, right.c.id)

    assert caught.value.model.__name__ == "Both"


def test_a_class_that_is_mapped_to_a_subquery(own):
    Base, _ = own()
    table = Table("counted", Base.metadata, Column("id", Integer, primary_key=True), Column("name", Integer))

    with pytest.raises(ImproperlyConfigured, match="mapped to counts, which is no table"):

        class Count(Versioned, Base):
            __table__ = select(table.c.id, table.c.name).subquery("counts")
            __mapper_args__ = {"primary_key": [__table__.c.id]}


def test_it_may_stand_beside_versioned_classes_if_it_says_so(own):
    Base, _ = own()
    table = Table("counted", Base.metadata, Column("id", Integer, primary_key=True))

    class Count(Versioned, Base):
        __versioned__ = {"versioning": False}
        __table__ = select(table.c.id).subquery("counts")
        __mapper_args__ = {"primary_key": [__table__.c.id]}

    assert not is_versioned(Count)


def test_a_hierarchy_that_is_not_joined_by_its_key(own):
    Base, _ = own()

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        number: Mapped[int] = mapped_column(unique=True)

    with pytest.raises(ImproperlyConfigured, match="is not joined to that of Animal by the whole primary key"):

        class Cat(Animal):
            __tablename__ = "cat"
            cat_id: Mapped[int] = mapped_column(primary_key=True)
            animal_number: Mapped[int] = mapped_column(ForeignKey("animal.number"))
            __mapper_args__ = {"inherit_condition": animal_number == Animal.number}


def test_two_classes_on_one_table(own):
    Base, _ = own()
    table = Table("article", Base.metadata, Column("id", Integer, primary_key=True))

    class Article(Versioned, Base):
        __table__ = table

    with pytest.raises(ImproperlyConfigured, match="'article_version', which exists already"):

        class Again(Versioned, Base):
            __table__ = table


def test_columns_of_a_class_below_that_are_called_like_ours(own):
    Base, _ = own()

    class Animal(Versioned, Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    with pytest.raises(ImproperlyConfigured, match="Rename ours with the option 'transaction_column_name'"):

        class Dog(Animal):
            transaction_id: Mapped[int | None]
            __mapper_args__ = {"polymorphic_identity": "dog"}
