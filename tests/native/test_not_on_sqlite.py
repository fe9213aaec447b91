"""Why SQLite's triggers do not record: what the documentation says of them, run on the database itself."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Connect = Callable[[], sqlite3.Connection]

TABLES = """
CREATE TABLE parent (id integer PRIMARY KEY);
CREATE TABLE article (id integer PRIMARY KEY, name text, parent_id integer REFERENCES parent ON DELETE CASCADE);
CREATE TABLE signed (id integer PRIMARY KEY AUTOINCREMENT);
CREATE TABLE running (one integer PRIMARY KEY, id integer);
CREATE TABLE version (name text, signed_id integer, operation integer);
CREATE TRIGGER updated AFTER UPDATE ON article BEGIN
    INSERT INTO signed SELECT NULL WHERE NOT EXISTS (SELECT 1 FROM running);
    INSERT INTO running SELECT 1, max(id) FROM signed HAVING NOT EXISTS (SELECT 1 FROM running);
    INSERT INTO version SELECT NEW.name, id, 1 FROM running;
END;
CREATE TRIGGER deleted AFTER DELETE ON article BEGIN
    INSERT INTO version VALUES (OLD.name, NULL, 2);
END;
INSERT INTO parent VALUES (1);
INSERT INTO article VALUES (1, 'a', 1);
"""


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connect(tmp_path: Path, backend: str) -> Iterator[Connect]:
    """Open a database with one more connection, as another program would."""
    opened: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        opened.append(sqlite3.connect(tmp_path / "a.db", isolation_level=None))
        return opened[-1]

    connect().executescript(TABLES)
    yield connect
    for each in opened:
        each.close()


def test_two_commits_of_two_programs_are_signed_as_one(connect: Connect) -> None:
    connect().execute("UPDATE article SET name = 'b'")
    connect().execute("UPDATE article SET name = 'c'")
    assert connect().execute("SELECT name, signed_id FROM version").fetchall() == [("b", 1), ("c", 1)]


@pytest.mark.parametrize(
    "wanted", ["AFTER COMMIT ON article", "AFTER ROLLBACK ON article", "AFTER UPDATE ON article FOR EACH STATEMENT"]
)
def test_nothing_fires_at_the_end_of_a_transaction_or_of_a_statement(connect: Connect, wanted: str) -> None:
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        connect().execute(f"CREATE TRIGGER end {wanted} BEGIN SELECT 1; END")


def test_neither_the_clock_nor_the_data_version_is_that_of_a_transaction(connect: Connect) -> None:
    one = connect()
    now, version = "SELECT strftime('%f', 'now')", "PRAGMA data_version"
    one.execute("BEGIN")
    before = one.execute(now).fetchone(), one.execute(version).fetchone()
    time.sleep(0.01)
    assert one.execute(now).fetchone() != before[0]
    one.execute("COMMIT")
    one.execute("UPDATE article SET name = 'b'")
    assert one.execute(version).fetchone() == before[1]


def test_a_trigger_of_the_database_reaches_nothing_of_one_connection(connect: Connect) -> None:
    one, other = connect(), connect()
    one.execute("CREATE TEMP TABLE mine (id)")
    one.execute("CREATE TEMP TRIGGER seen AFTER UPDATE ON main.article BEGIN INSERT INTO mine VALUES (NEW.id); END")
    other.execute("UPDATE article SET name = 'b'")
    assert one.execute("SELECT count(*) FROM mine").fetchone() == (0,)
    one.execute("CREATE TRIGGER lost AFTER INSERT ON parent BEGIN INSERT INTO mine VALUES (1); END")
    with pytest.raises(sqlite3.OperationalError, match=r"no such table: main\.mine"):
        one.execute("INSERT INTO parent VALUES (2)")
    one.execute("DROP TRIGGER lost")
    one.create_function("running_id", 0, lambda: 7)
    one.execute("CREATE TRIGGER broken AFTER INSERT ON parent BEGIN SELECT running_id(); END")
    with pytest.raises(sqlite3.OperationalError, match="no such function: running_id"):
        other.execute("INSERT INTO parent VALUES (2)")


def test_rows_go_unseen_unless_a_connection_says_otherwise(connect: Connect) -> None:
    one, gone = connect(), "SELECT count(*) FROM version WHERE operation = 2"
    one.execute("INSERT OR REPLACE INTO article VALUES (1, 'b', 1)")
    assert one.execute(gone).fetchone() == (0,)
    one.execute("PRAGMA recursive_triggers = 1")
    one.execute("INSERT OR REPLACE INTO article VALUES (1, 'c', 1)")
    assert one.execute(gone).fetchone() == (1,)
    one.execute("PRAGMA foreign_keys = 0")
    one.execute("DELETE FROM parent")
    assert one.execute("SELECT name FROM article").fetchall() == [("c",)]
