"""Fill version tables with a long history, by the server itself: a million rows in seconds."""

from sqlalchemy import Connection, text

from benchmarks.models import COLUMNS, text_for
from benchmarks.place import Place, insert_live

_NUMBERS = {
    "postgresql": "SELECT g AS t FROM generate_series(1, :number) g",
    "sqlite": "WITH RECURSIVE n(t) AS (SELECT 1 UNION ALL SELECT t + 1 FROM n WHERE t < :number) SELECT t FROM n",
}


async def fill_history(place: Place, *, entities: int, versions: int, live: int | None = None) -> None:
    """Give entities 1 to `entities` their share of `versions`, transaction t making one version; `live` rows are there.

    Version tables are SQLAlchemy-Continuum's, as those of all contenders that have any.
    """
    await place.empty()
    await place.run(lambda connection: _fill_live(connection, place, live or entities))
    if place.contender.keeps_history:
        await place.run(lambda connection: _fill(connection, place, entities, versions))
    await place.analyze()


def _fill_live(connection: Connection, place: Place, entities: int) -> None:
    statement, rows = insert_live(place.contender.Article, entities)
    with place.contender.muted(connection):
        connection.execute(statement, rows)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT setval('article_id_seq', :number)"), {"number": entities})


def _fill(connection: Connection, place: Place, entities: int, versions: int) -> None:
    dialect = connection.dialect.name
    numbers = f"FROM ({_NUMBERS[dialect]}) AS numbers"
    parameters = {"number": versions, "entities": entities, "content": text_for(1)}
    connection.execute(
        text(f"INSERT INTO \"transaction\" (id, issued_at) SELECT t, '2026-01-01 00:00:00' {numbers}"), parameters
    )
    ends = ", CASE WHEN t + :entities <= :number THEN t + :entities END" if place.contender.closes else ""
    closing = ", end_transaction_id" if place.contender.closes else ""
    name = "'version ' || t" if dialect == "sqlite" else "'version ' || t::text"
    # The newest version says what the live row says, but for its name: the next update closes it.
    statement = f"""
        INSERT INTO article_version ({", ".join(COLUMNS)}, transaction_id, operation_type{closing})
        SELECT (t - 1) % :entities + 1, {name}, CAST(:content AS text), t, '2026-01-01 00:00:00',
            t, CASE WHEN t <= :entities THEN 0 ELSE 1 END{ends} {numbers}
    """
    if dialect == "postgresql":
        # asyncpg takes a parameter's type from where it stands.
        for name_ in ("number", "entities"):
            statement = statement.replace(f":{name_}", f"CAST(:{name_} AS integer)")
    connection.execute(text(statement), parameters)
    if dialect == "postgresql":
        connection.execute(text("SELECT setval('transaction_id_seq', :number)"), {"number": versions})
