"""Go along relations: read what was related to many versions, and revert an entity with all that was related to it."""

from types import SimpleNamespace
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import selectinload

from benchmarks.models import text_for
from benchmarks.place import Place
from benchmarks.workloads.base import Workload, check_equal

BOOKS = 1000
READ = 100
TAGS = 10
AUTHORS = 50
RELATED = 100


class Related(Workload):
    """Works on books, authors and tags, which are declared when the first workload asks for them."""

    only = frozenset({"plain", "ours", "ours-subquery"})
    _declared: SimpleNamespace | None = None
    """Once for each process: a contender's models are not declared twice."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        if Related._declared is None:
            Related._declared = self.contender.declare_related()
        self.models = Related._declared

    async def once(self) -> None:
        await self.place.run(self.contender.Base.metadata.create_all)


class ReadTags(Related):
    """100 versions with ten tags and an author each, as they were made; since then all of them have changed."""

    name = "relations.tags"
    title = f"{READ} versions with {TAGS} tags and an author each, by selectinload"

    async def once(self) -> None:
        await super().once()
        await self.place.empty()
        m = self.models
        async with self.place.session() as session:
            session.add_all([m.Tag(id=i, name=f"tag {i}") for i in range(1, BOOKS + 1)])
            session.add_all([m.Author(id=i, name=f"author {i}") for i in range(1, AUTHORS + 1)])
            await session.flush()
            session.add_all([_book(m, i, author_id=1 + i % AUTHORS) for i in range(1, BOOKS + 1)])
            await session.flush()
            links = [
                {"book_id": i, "tag_id": 1 + (i * 7 + k * 31) % BOOKS} for i in range(1, BOOKS + 1) for k in range(TAGS)
            ]
            await session.execute(insert(m.links), links)
            await session.commit()
        async with self.place.session() as session:
            for model in (m.Book, m.Tag, m.Author):
                changed = update(model).values(name=model.name + " renamed")
                await session.execute(changed.execution_options(synchronize_session=False))
            await session.commit()
        await self.place.analyze()

    async def run(self) -> None:
        book, condition = self.contender.books(self.models)
        loaded = (
            select(book).where(book.id <= READ, condition).options(selectinload(book.tags), selectinload(book.author))
        )
        async with self.place.session() as session:
            self.read = (await session.scalars(loaded)).all()

    async def check(self) -> None:
        shown = {(len(each.tags), each.author.name.endswith("renamed")) for each in self.read}
        shown |= {(len(each.tags), tag.name.endswith("renamed")) for each in self.read for tag in each.tags}
        what = f"{self.name}, {self.contender.name}"
        check_equal(what, len(self.read), READ)
        check_equal(what, shown, {(TAGS, not self.contender.keeps_history)})


class RevertRelated(Related):
    """An author with 100 books, of which since then some have changed, some are gone and some are another's.

    Unversioned, what the revert does is done by hand; the objects are loaded already, for both.
    """

    name = "revert.related"
    title = f"a revert with {RELATED} related rows, beside the same by hand on loaded objects"
    _by_hand = False

    async def before(self) -> None:
        m = self.models
        await self.place.empty()
        async with self.place.session() as session:
            session.add_all([m.Author(id=1, name="then"), m.Author(id=2, name="another")])
            await session.flush()
            session.add_all([_book(m, i, author_id=1) for i in range(1, RELATED + 1)])
            await session.commit()
        async with self.place.session() as session:
            (await session.get(m.Author, 1)).name = "now"
            for book in await session.scalars(select(m.Book)):
                match book.id % 3:
                    case 0:
                        book.name = "now"
                    case 1:
                        await session.delete(book)
                    case 2:
                        book.author_id = 2
            await session.commit()
        await self.place.analyze()
        self.session = self.place.session(expire_on_commit=False)
        found = select(m.Author).options(selectinload(m.Author.books)).order_by(m.Author.id)
        self.authors = (await self.session.scalars(found)).all()

    async def run(self) -> None:
        if self._by_hand:
            self._change()
        else:
            await self.contender.take_back(self.session, self.models, self._change)
        await self.session.commit()

    def _change(self) -> None:
        author, another = self.authors
        author.name = "then"
        for book in author.books:
            book.name = f"book {book.id}"
        author.books.extend(list(another.books))
        author.books.extend(_book(self.models, i) for i in range(1, RELATED + 1, 3))

    async def check(self) -> None:
        m = self.models
        async with self.place.session() as session:
            rows = (await session.execute(select(m.Book.id, m.Book.name, m.Book.content, m.Book.author_id))).all()
            author = (await session.get(m.Author, 1)).name
        what = f"{self.name}, {self.contender.name}"
        check_equal(what, sorted(map(tuple, rows)), [(i, f"book {i}", text_for(i), 1) for i in range(1, RELATED + 1)])
        check_equal(what, author, "then")

    async def after(self) -> None:
        await self.session.__aexit__(None, None, None)
        del self.authors, self.session


class RevertByHand(RevertRelated):
    """What a revert does, done by hand and recorded: what is left to the revert itself."""

    name = "revert.by-hand"
    title = "the changes of such a revert made by hand on loaded objects, recorded"
    _by_hand = True


def _book(models: SimpleNamespace, i: int, **values: Any) -> Any:
    return models.Book(id=i, name=f"book {i}", content=text_for(i), **values)


RELATIONS: tuple[type[Workload], ...] = (ReadTags, RevertRelated, RevertByHand)
