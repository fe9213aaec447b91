"""Whatever is done, in whatever order: history says what a plain dictionary of the same life says."""

import asyncio
from collections.abc import Awaitable
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from sqlalchemy import String, delete, insert, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import async_continuum as ac
from async_continuum import Discrepancy, Operation, Versioned, VersioningManager, make_versioned, versioning_disabled
from tests.kit import mode
from tests.kit.invariants import assert_invariants
from tests.kit.places import Places


class Base(DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), options=mode.options(), user_cls=None)


class Thing(Versioned, Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(5))
    size: Mapped[int]


class Slim(Versioned, Base):
    __tablename__ = "slim"
    __versioned__ = {"strategy": "subquery"}
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = mapped_column(String(5))
    size: Mapped[int]


Key = tuple[type, int]
Row = tuple[str | None, int]
State = dict[Key, Row]

KEYS: list[Key] = [(model, number) for model in (Thing, Slim) for number in (1, 2, 3)]
Transaction = ac.transaction_class(Thing)

keys = st.sampled_from(KEYS)
names = st.sampled_from([None, "a", "A"])
rows = st.tuples(names, st.integers(0, 1))
models = st.sampled_from([Thing, Slim])


class Life(RuleBasedStateMachine):
    """One session's life on a few keys, beside its shadow. Lives for one example."""

    runner: asyncio.Runner
    engine: AsyncEngine

    def __init__(self) -> None:
        super().__init__()
        self.run(self._begin())
        self.session = AsyncSession(self.engine, autoflush=False)
        self.savepoints: list[Any] = []
        self.objects: dict[Key, Any] = {}
        self.vacated: set[Key] = set()
        self.now: State = {}
        self.stored: State = {}  # the last that a flush has stored under each key: what a DELETE holds
        self.before_savepoints: list[tuple[State, State]] = []
        self.committed: list[State] = [{}]
        self.told: dict[Key, list[tuple[Operation, Row]]] = {key: [] for key in KEYS}

    def run(self, awaitable: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await awaitable

        return self.runner.run(awaited())

    async def _begin(self) -> None:
        async with self.engine.begin() as connection:
            for table in Base.metadata.sorted_tables:
                await connection.execute(delete(table))

    # -- what one can do with a row

    @rule(key=keys, row=rows)
    def insert(self, key: Key, row: Row) -> None:
        if key in self.now:
            return
        if key in self.vacated:
            self.flush()
        self.objects[key] = key[0](id=key[1], name=row[0], size=row[1])
        self.session.add(self.objects[key])
        self.now[key] = row

    @rule(key=keys, row=rows)
    def update(self, key: Key, row: Row) -> None:
        if key in self.now:
            self._object(key).name, self._object(key).size = row
            self.now[key] = row

    @rule(key=keys)
    def update_by_an_expression(self, key: Key) -> None:
        if key in self.now:
            self.flush()
            self._object(key).size = 1 - key[0].size  # type: ignore[attr-defined]
            self.now[key] = (self.now[key][0], 1 - self.now[key][1])
            self.flush()

    @rule(key=keys)
    def remove(self, key: Key) -> None:
        if key in self.now:
            self._remove(key)

    @rule(key=keys, row=rows)
    def remove_and_insert(self, key: Key, row: Row) -> None:
        if key in self.now:
            self._remove(key)
            self.insert(key, row)

    @rule(key=keys, number=st.integers(1, 3))
    def move(self, key: Key, number: int) -> None:
        to = (key[0], number)
        if key in self.now and to not in self.now:
            self.flush()
            moved = self._object(key)
            moved.id = number
            self.objects[to] = self.objects.pop(key)
            self.now[to] = self.now.pop(key)
            self.vacated.add(key)

    # -- what statements do

    @rule(key=keys, row=rows)
    def insert_by_a_statement(self, key: Key, row: Row) -> None:
        self.flush()
        if key not in self.now:
            self._execute(insert(key[0]).values(id=key[1], name=row[0], size=row[1]))
            self.now[key] = row
            self._flushed()

    @rule(model=models, size=st.integers(0, 1), name=names)
    def update_by_a_statement(self, model: Any, size: int, name: str | None) -> None:
        self.flush()
        self._execute(update(model).where(model.size == size).values(name=name, size=1 - model.size))
        for key, row in self.now.items():
            if key[0] is model and row[1] == size:
                self.now[key] = (name, 1 - size)
        self._flushed()

    @rule(model=models, size=st.integers(0, 1))
    def delete_by_a_statement(self, model: Any, size: int) -> None:
        self.flush()
        self._execute(delete(model).where(model.size == size))
        self.now = {key: row for key, row in self.now.items() if key[0] is not model or row[1] != size}
        self._flushed()

    @rule(model=models)
    def rotate_keys_by_a_statement(self, model: Any) -> None:
        self.flush()
        # Through keys that nobody has: a database may check each row as it comes.
        self._execute(update(model).values(id=model.id + 10))
        self._execute(update(model).values(id=(model.id - 10) % 3 + 1))
        self.now = {(key[0], key[1] % 3 + 1) if key[0] is model else key: row for key, row in self.now.items()}
        self._flushed()

    @precondition(lambda self: not self.savepoints)
    @rule(key=keys, row=st.none() | rows)
    def write_past_history_and_repair_it(self, key: Key, row: Row | None) -> None:
        self.commit()
        self._execute(delete(key[0]).where(key[0].id == key[1]), recorded=False)  # type: ignore[attr-defined]
        if row is not None:
            self._execute(insert(key[0]).values(id=key[1], name=row[0], size=row[1]), recorded=False)
        before = self.now.pop(key, None)
        if row is not None:
            self.now[key] = row
        found = self.run(ac.verify(self.session, Thing, Slim))
        assert found == _discrepancies(key, before, row)
        assert self.run(ac.backfill(self.session, Thing, Slim, batch=2, repair=True)) == len(found)
        self.commit()

    @precondition(lambda self: not self.savepoints)
    @rule()
    def vacuum(self) -> None:
        self.commit()
        assert self.run(ac.vacuum(self.session, Thing, Slim)) == 0
        self.commit()

    def _execute(self, statement: Any, *, recorded: bool = True) -> None:
        async def execute() -> None:
            # Here, because a runner has a context of its own.
            with nullcontext() if recorded else versioning_disabled():
                await self.session.execute(statement, execution_options={"synchronize_session": False})

        self.run(execute())
        self.session.expunge_all()
        self.objects.clear()

    def _remove(self, key: Key) -> None:
        gone = self._object(key)
        if inspect(gone).pending:
            self.session.expunge(gone)
        else:
            if inspect(gone).identity != (key[1],):
                self.flush()
            self.run(self.session.delete(gone))
        del self.now[key], self.objects[key]

    def _object(self, key: Key) -> Any:
        if key not in self.objects:
            self.objects[key] = self.run(self.session.get_one(*key))
        return self.objects[key]

    # -- what one can do with a transaction

    @rule()
    def flush(self) -> None:
        self.run(self.session.flush())
        self._flushed()

    @rule()
    def expire(self) -> None:
        self.flush()
        self.session.expire_all()

    @precondition(lambda self: len(self.savepoints) < 3)
    @rule()
    def begin_savepoint(self) -> None:
        self.savepoints.append(self.run(self.session.begin_nested()))
        self._flushed()
        self.before_savepoints.append((dict(self.now), dict(self.stored)))

    @precondition(lambda self: self.savepoints)
    @rule(depth=st.integers(1, 3))
    def release_savepoint(self, depth: int) -> None:
        depth = min(depth, len(self.savepoints))
        self.run(self.savepoints[-depth].commit())
        del self.savepoints[-depth:], self.before_savepoints[-depth:]
        self._flushed()

    @precondition(lambda self: self.savepoints)
    @rule(depth=st.integers(1, 3))
    def roll_back_savepoint(self, depth: int) -> None:
        depth = min(depth, len(self.savepoints))
        self.run(self.savepoints[-depth].rollback())
        self.now, self.stored = self.before_savepoints[-depth]
        del self.savepoints[-depth:], self.before_savepoints[-depth:]
        self._forget()

    @rule()
    def roll_back(self) -> None:
        self.run(self.session.rollback())
        self.now, self.stored = dict(self.committed[-1]), dict(self.committed[-1])
        self._forget(all_savepoints=True)

    @rule()
    def commit(self) -> None:
        self.run(self.session.commit())
        self._flushed()
        self._forget(all_savepoints=True)
        before, after = self.committed[-1], dict(self.now)
        for key in KEYS:
            if before.get(key) != after.get(key):
                self.told[key].append(_net(before.get(key), after.get(key), self.stored[key]))
        if before != after:
            self.committed.append(after)
        self.stored = dict(after)
        self.run(self._check(every_moment=False))

    def _flushed(self) -> None:
        self.stored |= self.now
        self.vacated.clear()

    def _forget(self, *, all_savepoints: bool = False) -> None:
        self.objects.clear()
        self.vacated.clear()
        if all_savepoints:
            self.savepoints.clear()
            self.before_savepoints.clear()

    # -- what must be true

    async def _check(self, *, every_moment: bool) -> None:
        async with AsyncSession(self.engine) as session:
            assert await ac.verify(session, Thing, Slim) == []
            transactions = list(await session.scalars(select(Transaction.id).order_by(Transaction.id)))
            assert len(transactions) == len(self.committed) - 1
            moments = list(zip(transactions, self.committed[1:], strict=True))
            for key in KEYS:
                await self._check_versions(session, key, transactions)
                for transaction, state in moments if every_moment else moments[-1:]:
                    alive = await ac.versions_of(session, *key).at(transaction)
                    assert (alive and (alive.name, alive.size)) == state.get(key)  # type: ignore[attr-defined]

    async def _check_versions(self, session: AsyncSession, key: Key, transactions: list[int]) -> None:
        versions: list[Any] = await ac.versions_of(session, *key)
        assert [(v.operation_type, (v.name, v.size)) for v in versions] == self.told[key]
        begins = [version.transaction_id for version in versions]
        assert [version.end_transaction_id for version in versions] == [*begins[1:], None][: len(versions)]
        assert set(begins) <= set(transactions)
        before: Row | None = None
        for version, changeset in (await ac.changesets(session, versions)).items():
            row = (version.name, version.size)
            if version.operation_type is Operation.DELETE:
                assert changeset == _changes(key, row, None)
                before = None
            else:
                assert changeset == _changes(key, before, row)
                before = row

    def teardown(self) -> None:
        self.run(self._finish())

    async def _finish(self) -> None:
        await self.session.close()
        await self._check(every_moment=True)
        await assert_invariants(self.engine, manager)


def _net(before: Row | None, after: Row | None, stored: Row) -> tuple[Operation, Row]:
    if after is None:
        return Operation.DELETE, stored
    return (Operation.INSERT if before is None else Operation.UPDATE), after


def _discrepancies(key: Key, before: Row | None, after: Row | None) -> list[Discrepancy]:
    if before == after:
        return []
    if before is None:
        return [Discrepancy(key[0], (key[1],), "missing")]
    if after is None:
        return [Discrepancy(key[0], (key[1],), "orphaned")]
    columns = tuple(name for name, a, b in zip(("name", "size"), before, after, strict=True) if a != b)
    return [Discrepancy(key[0], (key[1],), "changed", columns)]


def _changes(key: Key, before: Row | None, after: Row | None) -> dict[str, Any]:
    old = {"id": key[1], "name": before[0], "size": before[1]} if before else {}
    new = {"id": key[1], "name": after[0], "size": after[1]} if after else {}
    return {name: (old.get(name), new.get(name)) for name in ("id", "name", "size") if old.get(name) != new.get(name)}


@pytest.mark.timeout(240)
def test_a_random_life(backend: str, places: Places) -> None:
    examples = {"sqlite": 40, "postgresql": 25}.get(backend, 25)
    with asyncio.Runner() as runner:
        fresh = places.fresh(backend, Base.metadata)
        place = runner.run(fresh.__aenter__())
        try:
            lived: Any = type("Lived", (Life,), {"runner": runner, "engine": place.engine()})
            run_state_machine_as_test(
                lived,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=40,
                    deadline=None,
                    derandomize=True,
                    phases=[Phase.explicit, Phase.generate],
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(fresh.__aexit__(None, None, None))
