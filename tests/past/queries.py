"""What an application asks of the library: each question is asked when its day is over, and again when all are."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    Executable,
    and_,
    case,
    cast,
    distinct,
    exists,
    func,
    inspect,
    lambda_stmt,
    literal,
    literal_column,
    or_,
    select,
    text,
    true,
    tuple_,
    union,
    union_all,
)
from sqlalchemy.orm import (
    Bundle,
    aliased,
    contains_eager,
    defaultload,
    defer,
    immediateload,
    joinedload,
    load_only,
    raiseload,
    selectinload,
    subqueryload,
    undefer,
    with_loader_criteria,
    with_parent,
)
from sqlalchemy.types import String

from tests.relations.library import seen

Question = Callable[[Any, SimpleNamespace], Awaitable[Any]]
Statement = Callable[[SimpleNamespace], Executable]


def plain(value: Any) -> Any:
    """Give what was found as values that can be compared: rows, objects, collections of objects."""
    if hasattr(value, "_mapping"):
        return tuple(plain(each) for each in value)
    is_related = hasattr(value, "__mapper__") or isinstance(value, (list, dict, set))
    return seen(value) if is_related else value


def rows(statement: Statement) -> Question:
    """Ask for rows, in any order."""

    async def ask(session: Any, m: SimpleNamespace) -> Any:
        found = await session.execute(statement(m))
        return sorted((plain(row) for row in found.unique()), key=repr)

    return ask


def loaded(statement: Statement, *names: str) -> Question:
    """Ask for objects and for what has been loaded with them, without another query."""

    async def ask(session: Any, m: SimpleNamespace) -> Any:
        found = (await session.scalars(statement(m))).unique()
        shown = [(seen(each), [(name, plain(inspect(each).dict[name])) for name in names]) for each in found]
        return sorted(shown, key=repr)

    return ask


def attributes(model: str, *names: str) -> Question:
    """Ask every object of a model for attributes, one by one, as `awaitable_attrs` loads them."""

    async def ask(session: Any, m: SimpleNamespace) -> Any:
        shown = []
        for each in (await session.scalars(select(getattr(m, model)))).unique():
            values = [await getattr(each.awaitable_attrs, name) for name in names]
            shown.append((seen(each), [plain(value) for value in values]))
        return sorted(shown, key=repr)

    return ask


# -- one by one -----------------------------------------------------------------------------------------------------


async def get(session: Any, m: SimpleNamespace) -> Any:
    return [plain(await session.get(m.Review, key)) for key in (1, 2, 3)]


async def get_composite(session: Any, m: SimpleNamespace) -> Any:
    return [plain(await session.get(m.Credit, key)) for key in ((1, 1), (1, 2), (1, 3))]


async def get_with_options(session: Any, m: SimpleNamespace) -> Any:
    book = await session.get(m.Book, 1, options=[selectinload(m.Book.tags), joinedload(m.Book.author)])
    return seen(book), seen(book.tags), seen(book.author)


async def get_twice(session: Any, m: SimpleNamespace) -> Any:
    book = await session.get_one(m.Book, 2)
    assert await session.get(m.Book, 2) is book
    return seen(book), book.author_id, book.publisher_id


async def refresh(session: Any, m: SimpleNamespace) -> Any:
    author = await session.get_one(m.Author, 2)
    session.expire(author)
    await session.refresh(author)
    await session.refresh(author, ["books"])
    return seen(author), seen(author.books)


async def expired(session: Any, m: SimpleNamespace) -> Any:
    author = await session.get_one(m.Author, 1)
    session.expire_all()
    return await author.awaitable_attrs.name, seen(await author.awaitable_attrs.edited)


async def streamed(session: Any, m: SimpleNamespace) -> Any:
    found = await session.stream_scalars(select(m.Review).order_by(m.Review.id))
    return [(seen(each), each.stars) async for each in found]


async def partitions(session: Any, m: SimpleNamespace) -> Any:
    statement = select(m.Review).order_by(m.Review.id).execution_options(yield_per=2)
    found = await session.stream_scalars(statement)
    return [[seen(each) for each in part] async for part in found.partitions()]


async def yielded(session: Any, m: SimpleNamespace) -> Any:
    statement = select(m.Author).options(selectinload(m.Author.bio)).order_by(m.Author.id)
    found = await session.stream_scalars(statement.execution_options(yield_per=2))
    return [(seen(each), seen(each.bio)) async for each in found]


async def write_only(session: Any, m: SimpleNamespace) -> Any:
    book = await session.get_one(m.Book, 1)
    return sorted(map(seen, await session.scalars(book.lazy_write_only.select().where(m.Review.stars > 1))))


async def dynamic(session: Any, m: SimpleNamespace) -> Any:
    def ask(sync: Any) -> Any:
        book = sync.get(m.Book, 2)
        return [seen(each) for each in book.lazy_dynamic.filter(m.Review.stars > 1)], book.lazy_dynamic.count()

    return await session.run_sync(ask)


async def legacy_query(session: Any, m: SimpleNamespace) -> Any:
    return await session.run_sync(
        lambda sync: sorted(seen(each) for each in sync.query(m.Review).filter(m.Review.stars > 2))
    )


async def of_parent(session: Any, m: SimpleNamespace) -> Any:
    book = await session.get_one(m.Book, 1)
    return sorted(map(seen, await session.scalars(select(m.Tag).where(with_parent(book, m.Book.tags)))))


async def compared(session: Any, m: SimpleNamespace) -> Any:
    ann, tag = await session.get_one(m.Author, 1), await session.get_one(m.Tag, 1)
    by_ann = await session.scalars(select(m.Book).where(m.Book.author == ann))
    tagged = await session.scalars(select(m.Book).where(m.Book.tags.contains(tag)))
    return sorted(map(seen, by_ann.unique())), sorted(map(seen, tagged.unique())), seen(tag)


async def methods(session: Any, m: SimpleNamespace) -> Any:
    books = (await session.scalars(select(m.Book).options(selectinload(m.Book.tags)).order_by(m.Book.id))).unique()
    return [(b.shouted, b.is_tagged, b.begins_after(1900), list(b.tag_names), b.title, b.length) for b in books]


def a_lambda(m: SimpleNamespace) -> Any:
    Bio = m.Bio
    return lambda_stmt(lambda: select(Bio))


def recursive(m: SimpleNamespace) -> Any:
    first = select(m.Book.id, literal(0).label("depth")).where(m.Book.after_id.is_(None)).cte("chain", recursive=True)
    chain = first.union_all(select(m.Book.id, first.c.depth + 1).join(first, m.Book.after_id == first.c.id))
    return select(chain.c.id, chain.c.depth)


def newest_review(m: SimpleNamespace) -> Any:
    ranked = select(
        m.Review, func.row_number().over(partition_by=m.Review.book_id, order_by=m.Review.stars.desc()).label("rank")
    ).subquery()
    best = aliased(m.Review, ranked)
    return select(best, ranked.c.rank).where(ranked.c.rank <= 2)


def lateral(m: SimpleNamespace) -> Any:
    tagged = select(func.count().label("n")).where(m.book_tag.c.left_id == m.Book.id).correlate(m.Book)
    return select(m.Book.id, tagged.scalar_subquery())


def self_join(m: SimpleNamespace) -> Any:
    later = aliased(m.Book)
    return select(m.Book.id, later.id, later.name).join(later, later.after_id == m.Book.id)


def cte_named_like_a_table(m: SimpleNamespace) -> Any:
    tag = select(m.Review.name, m.Review.stars).where(m.Review.stars > 1).cte("tag")
    return select(tag.c.name, tag.c.stars)


def cte_of_entities(m: SimpleNamespace) -> Any:
    good = select(m.Review).where(m.Review.stars > 2).cte("good")
    review = aliased(m.Review, good)
    return select(review, m.Book).join(m.Book, m.Book.id == review.book_id)


def from_union(m: SimpleNamespace) -> Any:
    few, many = select(m.Review).where(m.Review.stars < 2), select(m.Review).where(m.Review.stars > 4)
    return select(m.Review).from_statement(union_all(few, many))


def alias_of_a_limited_query(m: SimpleNamespace) -> Any:
    some = aliased(m.Review, select(m.Review).order_by(m.Review.id.desc()).limit(3).subquery())
    return select(some).options(joinedload(some.book))


B = "Book"

QUESTIONS: dict[str, Question] = {
    # Single objects.
    "get": get,
    "get by a composite key": get_composite,
    "get with loader options": get_with_options,
    "get twice gives one object": get_twice,
    "refresh": refresh,
    "expired attributes": expired,
    # Lists.
    "every book": attributes("Book", "author_id", "editor_id", "publisher_id", "first"),
    "every tag": rows(lambda m: select(m.Tag)),
    "every loan": rows(lambda m: select(m.Loan)),
    "where a column": rows(lambda m: select(m.Review).where(m.Review.stars >= 3)),
    "where another attribute than column name": rows(lambda m: select(m.Book).where(m.Book.first == 1950)),
    "filter_by": rows(lambda m: select(m.Author).filter_by(name="bob")),
    "in a list": rows(lambda m: select(m.Tag).where(m.Tag.name.in_(["old", "old'", "again"]))),
    "in a list of pairs": rows(
        lambda m: select(m.Copy).where(tuple_(m.Copy.book_id, m.Copy.number).in_([(1, 1), (1, 2), (2, 1)]))
    ),
    "ordered and limited": rows(lambda m: select(m.Review).order_by(m.Review.stars.desc(), m.Review.id).limit(2)),
    "limited and offset": rows(lambda m: select(m.Review.name).order_by(m.Review.id).limit(2).offset(1)),
    "like": rows(lambda m: select(m.Credit).where(m.Credit.name.like("%e%"))),
    "between and or": rows(lambda m: select(m.Review.id).where(or_(m.Review.stars.between(2, 3), m.Review.id < 1))),
    "a synonym": rows(lambda m: select(m.Book.title, m.Book.id).where(m.Book.title != "x", m.Book.first > 1900)),
    "a composite": rows(lambda m: select(m.Book.id, m.Book.first, m.Book.last).where(m.Book.first == 1900)),
    "a hybrid in a query": rows(lambda m: select(m.Book).where(m.Book.is_tagged)),
    "a hybrid method in a query": rows(lambda m: select(m.Book).where(m.Book.begins_after(1920))),
    "methods and properties": methods,
    "a lambda": rows(a_lambda),
    "by text fragments": rows(lambda m: select(m.Bio).where(text("bio.author_id > 0")).order_by(text("name"))),
    # Columns and aggregates.
    "columns": rows(lambda m: select(m.Author.id, m.Author.name)),
    "a bundle": rows(lambda m: select(Bundle("author", m.Author.id, m.Author.name))),
    "an entity and a column": rows(lambda m: select(m.Review, m.Review.stars)),
    "a table of Core": rows(lambda m: select(m.Tag.__table__.c.id, m.Tag.__table__.c.name)),
    "an association table": rows(lambda m: select(m.book_tag)),
    "a join of Core": rows(
        lambda m: select(m.book_tag.c.position, m.Tag.__table__.c.name).join(
            m.Tag.__table__, m.Tag.__table__.c.id == m.book_tag.c.right_id
        )
    ),
    "count": rows(lambda m: select(func.count()).select_from(m.Credit)),
    "count of a column": rows(lambda m: select(func.count(m.Review.id), func.sum(m.Review.stars))),
    "minimum and maximum": rows(lambda m: select(func.min(m.Review.name), func.max(m.Review.stars)).where(true())),
    "distinct": rows(lambda m: select(m.Author.name).distinct()),
    "count distinct": rows(lambda m: select(func.count(distinct(m.Book.author_id)), func.max(m.Book.first))),
    "grouped by a key": rows(
        lambda m: select(m.Author, func.count(m.Book.id)).join(m.Author.books, isouter=True).group_by(m.Author.id)
    ),
    "grouped by a key, under other names": rows(
        lambda m: (
            select(other := aliased(m.Author), func.count(m.Book.id).label("books"))
            .join(m.Book, m.Book.author_id == other.id, isouter=True)
            .group_by(other.id)
            .having(func.length(other.name) > 0)
            .order_by(other.name)
        )
    ),
    "grouped by keys, in a subquery": rows(
        lambda m: select(
            select(m.Credit, func.count().label("number")).group_by(m.Credit.book_id, m.Credit.author_id).subquery()
        )
    ),
    "grouped": rows(lambda m: select(m.Review.book_id, func.avg(m.Review.stars)).group_by(m.Review.book_id)),
    "grouped and having": rows(
        lambda m: select(m.Review.book_id, func.max(m.Review.stars)).group_by(m.Review.book_id).having(func.count() > 1)
    ),
    "grouped along a relation": rows(
        lambda m: (
            select(m.Author.name, func.count(m.Book.id)).join(m.Author.books, isouter=True).group_by(m.Author.name)
        )
    ),
    "case": rows(lambda m: select(m.Review.id, case((m.Review.stars > 3, "good"), else_="bad"))),
    "cast and concatenation": rows(lambda m: select(m.Tag.name + "-" + cast(m.Tag.id, String))),
    "a literal column": rows(lambda m: select(literal_column("name")).select_from(m.Bio)),
    "a window function": rows(
        lambda m: select(m.Review.name, func.rank().over(order_by=m.Review.stars.desc())).where(m.Review.stars > 0)
    ),
    "the best of each by a window": rows(newest_review),
    "a filtered aggregate": rows(lambda m: select(func.count().filter(m.Review.stars > 3)).select_from(m.Review)),
    # Joins.
    "a join along a many-to-one": rows(lambda m: select(m.Book, m.Author).join(m.Book.author)),
    "a join along a one-to-many": rows(lambda m: select(m.Book.name, m.Review.name).join(m.Book.reviews)),
    "a join along a many-to-many": rows(lambda m: select(m.Book.name, m.Tag.name).join(m.Book.tags)),
    "an outer join": rows(lambda m: select(m.Author.name, m.Bio.name).outerjoin(m.Author.bio)),
    "a condition of the query's own": rows(
        lambda m: select(m.Loan.name, m.Copy.name).join(
            m.Copy, and_(m.Loan.number == m.Copy.number, m.Loan.book_id == m.Copy.book_id)
        )
    ),
    "a join along a composite key": rows(lambda m: select(m.Loan, m.Copy).join(m.Loan.copy)),
    "three joins": rows(
        lambda m: select(m.Author.name, m.Book.name, m.Tag.name).join(m.Author.books).join(m.Book.tags)
    ),
    "a self-reference": rows(self_join),
    "a self-referential relation": rows(
        lambda m: (lambda later: select(m.Book.name, later.id).join(m.Book.before.of_type(later)))(aliased(m.Book))
    ),
    "a self-referential many-to-many": rows(
        lambda m: (lambda other: select(m.Book.id, other.id).join(m.Book.related.of_type(other)))(aliased(m.Book))
    ),
    "two aliases": rows(
        lambda m: (lambda a, b: select(a.name, b.name).join(b, a.id < b.id))(aliased(m.Author), aliased(m.Author))
    ),
    "a join to a live model": rows(lambda m: select(m.Book.id, m.Publisher.name).join(m.Book.publisher)),
    "an association object": rows(
        lambda m: select(m.Book.name, m.Credit.name, m.Author.name).join(m.Book.credits).join(m.Credit.author)
    ),
    "a condition of its own": rows(lambda m: select(m.Book.id, m.Review.id).join(m.Book.praise)),
    # Subqueries.
    "any": rows(lambda m: select(m.Book).where(m.Book.tags.any(m.Tag.name.like("old%")))),
    "not any": rows(lambda m: select(m.Book).where(~m.Book.tags.any())),
    "has": rows(lambda m: select(m.Book).where(m.Book.editor.has())),
    "has of a kind": rows(lambda m: select(m.Review).where(m.Review.book.has(m.Book.author.has(name="bob")))),
    "exists": rows(lambda m: select(m.Author).where(exists().where(m.Book.author_id == m.Author.id))),
    "in a subquery": rows(
        lambda m: select(m.Tag).where(m.Tag.id.in_(select(m.book_tag.c.right_id).where(m.book_tag.c.left_id == 1)))
    ),
    "a scalar subquery": rows(lateral),
    "a subquery": rows(
        lambda m: (lambda q: select(q.c.name, m.Book.name).join(m.Book, m.Book.id == q.c.book_id))(
            select(m.Review.name, m.Review.book_id).where(m.Review.stars > 1).subquery()
        )
    ),
    "an entity of a subquery": rows(alias_of_a_limited_query),
    "a CTE": rows(cte_of_entities),
    "a CTE called like a table": rows(cte_named_like_a_table),
    "a recursive CTE": rows(recursive),
    "union": rows(lambda m: union(select(m.Tag.name), select(m.Bio.name))),
    "union of entities": rows(from_union),
    "except": rows(
        lambda m: select(m.Author.id).except_(select(m.Book.author_id).where(m.Book.author_id.is_not(None)))
    ),
    "from a statement": rows(lambda m: select(m.Bio).from_statement(select(m.Bio).where(m.Bio.id < 5))),
    # Loaders.
    "selectinload": loaded(lambda m: select(m.Book).options(selectinload(m.Book.tags)), "tags"),
    "joinedload": loaded(lambda m: select(m.Book).options(joinedload(m.Book.reviews)), "reviews"),
    "joinedload and limit": loaded(
        lambda m: select(m.Book).order_by(m.Book.id).limit(2).options(joinedload(m.Book.credits)), "credits"
    ),
    "subqueryload": loaded(lambda m: select(m.Book).options(subqueryload(m.Book.tags)), "tags"),
    "immediateload": loaded(lambda m: select(m.Book).options(immediateload(m.Book.author)), "author"),
    "contains_eager": loaded(
        lambda m: (
            select(m.Book)
            .join(m.Book.reviews)
            .where(m.Review.stars > 2)
            .order_by(m.Review.id)
            .options(contains_eager(m.Book.reviews))
        ),
        "reviews",
    ),
    "chained loaders": loaded(
        lambda m: select(m.Author).options(selectinload(m.Author.books).joinedload(m.Book.tags)), "books"
    ),
    "the models' own lazy": loaded(
        lambda m: select(m.Book),
        "lazy_selectin",
        "lazy_joined",
        "lazy_subquery",
        "lazy_immediate",
        "lazy_joined_author",
    ),
    "load_only": loaded(lambda m: select(m.Book).options(load_only(m.Book.name, m.Book.first)), "first"),
    "defer and undefer": loaded(lambda m: select(m.Book).options(defer(m.Book.last), undefer(m.Book.first)), "first"),
    "raiseload of the others": loaded(
        lambda m: select(m.Bio).options(joinedload(m.Bio.author), raiseload("*")), "author"
    ),
    "defaultload": loaded(
        lambda m: select(m.Author).options(
            defaultload(m.Author.books).selectinload(m.Book.copies), selectinload(m.Author.bio)
        ),
        "bio",
    ),
    "criteria for every mention": loaded(
        lambda m: select(m.Book).options(
            selectinload(m.Book.reviews), with_loader_criteria(m.Review, m.Review.stars > 2)
        ),
        "reviews",
    ),
    "of_type with criteria": loaded(
        lambda m: select(m.Book).options(selectinload(m.Book.reviews.and_(m.Review.stars < 5))), "reviews"
    ),
    # Asked of the objects.
    "every relation of a book": attributes(
        B,
        *("author", "editor", "tags", "after", "before", "related", "reviews", "credits", "copies", "shops"),
    ),
    "derived relations": attributes(B, "praise", "genres", "namesakes", "coeval", "review_dict", "review_set"),
    "derived columns": attributes(B, "length", "review_count", "first"),
    "relations of an author": attributes("Author", "books", "edited", "bio", "credits"),
    "relations of a tag": attributes("Tag", "books"),
    "relations of a loan": attributes("Loan", "copy"),
    "a write-only collection": write_only,
    "a dynamic collection": dynamic,
    "the legacy query": legacy_query,
    "with_parent": of_parent,
    "compared with objects": compared,
    # Streams.
    "a stream": streamed,
    "partitions": partitions,
    "yield_per with a loader": yielded,
}
