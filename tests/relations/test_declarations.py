"""However a relation is declared, and whatever it leads to, versions have it: what the library does not say yet."""

from types import SimpleNamespace

import pytest
from sqlalchemy import Column, ForeignKey, String, Table, inspect, select
from sqlalchemy.orm import Mapped, attribute_keyed_dict, backref, joinedload, mapped_column, relationship, selectinload

from async_continuum import Versioned, version_class, versions_of


@pytest.fixture(params=["validity", "subquery"])
def shop(request, own):
    """Items that follow one another, on shelves, with covers, labels and tags."""
    Base, manager = own(options={"strategy": request.param})
    overlaps = "tag_list,tag_set,tag_dict,tags_dynamic,tags_write_only"

    item_tag = Table(
        "item_tag",
        Base.metadata,
        Column("item_id", ForeignKey("item.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    )

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20))

    class Item(Versioned, Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20))
        follows_id: Mapped[int | None] = mapped_column(ForeignKey("item.id"), unique=True)
        shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelf.id"))
        # One-to-one, to itself, both ways.
        follows = relationship(lambda: Item, remote_side=lambda: Item.id, back_populates="followed", uselist=False)
        followed = relationship(lambda: Item, back_populates="follows", uselist=False)
        # Their other sides are declared by a backref alone.
        shelf = relationship(lambda: Shelf, backref=backref("items", order_by=lambda: Item.name))
        covers = relationship("Cover", backref="item", order_by="Cover.id")
        label = relationship("Label", backref=backref("item"), uselist=False)
        # Classes without history.
        prices = relationship("Price", order_by="Price.id")
        only_price = relationship("Price", uselist=False, viewonly=True)
        # Many-to-many, in collections of each kind and of none.
        tag_list = relationship(Tag, secondary=item_tag, order_by=Tag.id)
        tag_set = relationship(Tag, secondary=item_tag, collection_class=set, overlaps=overlaps)
        tag_dict = relationship(
            Tag, secondary=item_tag, collection_class=attribute_keyed_dict("name"), overlaps=overlaps
        )
        tags_dynamic = relationship(Tag, secondary=item_tag, lazy="dynamic", order_by=Tag.id, overlaps=overlaps)
        tags_write_only = relationship(
            Tag, secondary=item_tag, lazy="write_only", passive_deletes=True, order_by=Tag.id, overlaps=overlaps
        )

    class Shelf(Versioned, Base):
        __tablename__ = "shelf"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20))

    class Cover(Versioned, Base):
        __tablename__ = "cover"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20))
        item_id: Mapped[int | None] = mapped_column(ForeignKey("item.id"))

    class Label(Versioned, Base):
        __tablename__ = "label"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20))
        item_id: Mapped[int | None] = mapped_column(ForeignKey("item.id"))

    class Price(Base):
        """Keeps no history."""

        __tablename__ = "price"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(20))
        item_id: Mapped[int | None] = mapped_column(ForeignKey("item.id"))

    return SimpleNamespace(
        Base=Base, manager=manager, Item=Item, Tag=Tag, Shelf=Shelf, Cover=Cover, Label=Label, Price=Price
    )


@pytest.fixture
async def session(shop, database):
    """Two days: the first is what the versions of items 1 and 2 say; on the second all that is linked changes."""
    m, sessions = shop, await database(shop.Base, shop.manager)
    async with sessions() as session:
        tags = [m.Tag(id=n, name=f"tag {n}") for n in (1, 2, 3)]
        shelves = [m.Shelf(id=n, name=f"shelf {n}") for n in (1, 2)]
        one = m.Item(id=1, name="one", shelf=shelves[0], tag_list=tags[:2])
        two = m.Item(id=2, name="two", shelf=shelves[0], follows=one)
        one.covers = [m.Cover(id=n, name=f"cover {n}") for n in (1, 2)]
        one.label = m.Label(id=1, name="label")
        one.prices = [m.Price(id=1, name="price")]
        session.add_all([*tags, *shelves, one, two])
        await session.commit()
        for model in (m.Tag, m.Shelf, m.Cover, m.Label, m.Price):
            for each in await session.scalars(select(model)):
                each.name += "'"
        await session.refresh(one)
        one.name = "uno"
        await session.commit()
        for each in (one, two):
            await session.refresh(each, ["follows_id", "tag_list", "shelf", "covers", "label"])
        one.tag_list, one.shelf, one.covers, one.label = [tags[2]], shelves[1], [one.covers[1]], None
        two.follows_id = None
        await session.flush()
        one.follows_id = 2
        one.name, two.name = "ichi", "ni"
        for shelf in shelves:
            await session.refresh(shelf)
            shelf.name += "'"
        for each in (await session.get_one(m.Cover, 2), await session.get_one(m.Label, 1)):
            await session.refresh(each)
            each.name += "'"
        await session.commit()
        session.expunge_all()
        yield session


def names(value):
    match value:
        case None:
            return None
        case dict():
            return {key: each.name for key, each in value.items()}
        case set():
            return {each.name for each in value}
        case list():
            return [each.name for each in value]
    return value.name


SHOWN = {
    ("Item", 1, "follows"): [None, None, "ni"],
    ("Item", 1, "followed"): ["two", "two", None],
    ("Item", 1, "shelf"): ["shelf 1", "shelf 1'", "shelf 2''"],
    ("Item", 1, "covers"): [["cover 1", "cover 2"], ["cover 1'", "cover 2'"], ["cover 2''"]],
    ("Item", 1, "label"): ["label", "label'", None],
    ("Item", 1, "prices"): [["price'"]] * 3,
    ("Item", 1, "only_price"): ["price'"] * 3,
    ("Item", 1, "tag_list"): [["tag 1", "tag 2"], ["tag 1'", "tag 2'"], ["tag 3'"]],
    ("Item", 1, "tag_set"): [{"tag 1", "tag 2"}, {"tag 1'", "tag 2'"}, {"tag 3'"}],
    ("Item", 1, "tag_dict"): [{t: t for t in day} for day in (("tag 1", "tag 2"), ("tag 1'", "tag 2'"), ("tag 3'",))],
    ("Item", 1, "tags_dynamic"): [["tag 1", "tag 2"], ["tag 1'", "tag 2'"], ["tag 3'"]],
    ("Item", 1, "tags_write_only"): [["tag 1", "tag 2"], ["tag 1'", "tag 2'"], ["tag 3'"]],
    ("Item", 2, "follows"): ["one", None],
    ("Item", 2, "followed"): [None, "ichi"],
    ("Shelf", 1, "items"): [["one", "two"], ["two", "uno"], ["ni"]],
    ("Shelf", 2, "items"): [[], [], ["ichi"]],
    ("Cover", 1, "item"): ["one", "uno", None],
    ("Cover", 2, "item"): ["one", "uno", "ichi"],
    ("Label", 1, "item"): ["one", "uno", None],
}


@pytest.mark.parametrize("load", [None, selectinload, joinedload])
async def test_every_relation_shows_what_was_there(shop, session, load):
    for (model, key, name), expected in SHOWN.items():
        query = versions_of(session, getattr(shop, model), key)
        if load is not None:
            query = query.options(load(getattr(version_class(getattr(shop, model)), name)))
        shown = []
        for version in await query:
            assert (name in inspect(version).dict) is (load is not None)
            shown.append(names(await getattr(version.awaitable_attrs, name)))
        assert shown == expected, (model, key, name)
        session.expunge_all()


async def test_no_relation_of_the_shop_is_left_out(shop, session):
    for model in (shop.Item, shop.Shelf, shop.Cover, shop.Label):
        declared = {name for of, _, name in SHOWN if of == model.__name__}
        assert {*inspect(model).relationships.keys()} == declared
        assert declared <= {*inspect(version_class(model)).relationships.keys()}


async def test_a_relation_that_is_added_when_all_is_in_use_has_a_past_as_well(shop, session):
    shop.Cover.bearer = relationship(shop.Item, viewonly=True)
    shop.Shelf.tagged = relationship(
        lambda: shop.Item,
        primaryjoin=lambda: (shop.Shelf.id == shop.Item.shelf_id) & shop.Item.name.in_(["uno", "ni"]),
        viewonly=True,
    )
    covers = await versions_of(session, shop.Cover, 2).options(selectinload(version_class(shop.Cover).bearer))
    assert [names(version.bearer) for version in covers] == ["one", "uno", "ichi"]
    shelves = await versions_of(session, shop.Shelf, 1)
    assert [names(await version.awaitable_attrs.tagged) for version in shelves] == [[], ["uno"], ["ni"]]
