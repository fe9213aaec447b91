"""A transaction table that is called otherwise keeps its rows, and the ids that are to come."""

from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from async_continuum import transaction_class, version_class
from tests.ext.test_alembic import engine_now, project, projects, proved

__all__ = ["engine_now", "project", "projects"]

NOTE = """
class User(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)

class Note(Versioned, Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None] = mapped_column(String(20))
"""
PLUGINS = "[plugins.TransactionChangesPlugin(), plugins.TransactionMetaPlugin()]"


@pytest.mark.parametrize("native", [False, True], ids=["sessions", "triggers"])
def test_its_rows_stay(project: Any, engine_now: Any, database: Any, native: bool) -> None:
    if engine_now.dialect.name == "sqlite":
        project.configure("render_as_batch=True")
    options = {"native_versioning": native}
    notes = project.declare(NOTE, options=repr(options), user_cls="User", plugins=PLUGINS)
    project.autogenerate()
    project.upgrade()
    project.check()

    def change(module: Any, value: str) -> None:
        with Session(engine_now) as session:
            note = session.get(module.Note, 1) or module.Note(id=1)
            session.add(note)
            note.text = value
            session.commit()

    def told(module: Any) -> list[tuple[int, str]]:
        version: Any = version_class(module.Note)
        transaction = transaction_class(module.Note)
        with Session(engine_now) as session:
            query = session.query(transaction.id, version.text)
            query = query.join(version, version.transaction_id == transaction.id).order_by(transaction.id)
            return [tuple(row) for row in query]

    change(notes, "a")
    change(notes, "b")
    proved(database, notes.manager)

    later = project.declare(
        NOTE, options=repr({**options, "transaction_table_name": "the audit"}), user_cls="User", plugins=PLUGINS
    )
    script = project.autogenerate()
    assert "op.rename_transaction_table('transaction', 'the audit')" in script
    assert "drop_table" not in script
    assert "create_table" not in script
    project.upgrade()
    project.check()
    change(later, "c")
    assert told(later) == [(1, "a"), (2, "b"), (3, "c")]
    proved(database, later.manager)
    assert "transaction" not in inspect(engine_now).get_table_names()

    project.downgrade("-1")
    project.forget_newest()
    again = project.declare(NOTE, options=repr(options), user_cls="User", plugins=PLUGINS)
    project.check()
    change(again, "d")
    assert told(again) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
    database.managers = {}
    project.downgrade()
    assert inspect(engine_now).get_table_names() == ["alembic_version"]


def test_it_is_renamed_offline(project: Any) -> None:
    project.declare(NOTE)
    project.write(
        "op.rename_transaction_table('a', 'b', schema='s')", "op.rename_transaction_table('b', 'a', schema='s')"
    )
    script = project.sql("head")
    assert "ALTER TABLE s.a RENAME TO" in script
    if project.url.get_backend_name() == "postgresql":
        assert "ALTER SEQUENCE IF EXISTS s.a_id_seq RENAME TO b_id_seq" in script


# As docs/alembic.md has it.
BY_HAND = """
with op.batch_alter_table("note_version") as batch:
    batch.drop_index("ix_note_version_{old[0]}")
    batch.drop_index("uq_note_version_open")
    batch.alter_column("{old[0]}", new_column_name="{new[0]}")
    batch.alter_column("{old[1]}", new_column_name="{new[1]}")
    batch.alter_column("{old[2]}", new_column_name="{new[2]}")
op.create_index("ix_note_version_{new[0]}", "note_version", ["{new[0]}"])
ended = sa.text("{new[1]} IS NULL")
op.create_index(
    "uq_note_version_open", "note_version", ["id"], unique=True, postgresql_where=ended, sqlite_where=ended
)
"""


def test_columns_of_versions_are_called_otherwise(project: Any, engine_now: Any, database: Any) -> None:
    names = ("transaction_column_name", "end_transaction_column_name", "operation_type_column_name")
    usual, others = ("transaction_id", "end_transaction_id", "operation_type"), ("tx", "tx_end", "what")
    notes = project.declare(NOTE)
    project.autogenerate()
    project.upgrade()
    with Session(engine_now) as session:
        session.add(notes.Note(id=1, text="a"))
        session.commit()
        session.get_one(notes.Note, 1).text = "b"
        session.commit()
    later = project.declare(NOTE, options=repr(dict(zip(names, others, strict=True))))
    project.write(BY_HAND.format(old=usual, new=others), BY_HAND.format(old=others, new=usual))
    project.upgrade()
    project.check()
    with Session(engine_now) as session:
        session.get_one(later.Note, 1).text = "c"
        session.commit()
        version: Any = version_class(later.Note)
        told = session.query(version.text, version.tx, version.tx_end, version.what).order_by(version.tx)
        assert [tuple(row) for row in told] == [("a", 1, 2, 0), ("b", 2, 3, 1), ("c", 3, None, 1)]
    proved(database, later.manager)
    database.managers = {}
    project.downgrade()
    assert inspect(engine_now).get_table_names() == ["alembic_version"]
