"""Whatever is done, in whatever order: history says what a plain dictionary of the same life says."""

import asyncio
from collections.abc import Awaitable
from contextlib import nullcontext
from itertools import groupby, product
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from sqlalchemy import delete, insert, inspect, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

import async_continuum as ac
from async_continuum import Operation, versioning_disabled
from tests.kit import mode
from tests.kit.invariants import assert_invariants
from tests.kit.places import Places
from tests.stories.linked import (
    KEYS,
    LINKS,
    NUMBERS,
    Base,
    Key,
    Row,
    Slim,
    State,
    Thing,
    changes,
    discrepancies,
    ends,
    linked,
    links_of,
    manager,
    moved,
    net,
    without,
)

Transaction = ac.transaction_class(Thing)

keys = st.sampled_from(KEYS)
links = st.sampled_from(LINKS)
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
        self.told: dict[Key, list[tuple[Operation, Row]]] = {key: [] for key in KEYS + LINKS}

    def run(self, awaitable: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await awaitable

        return self.runner.run(awaited())

    async def _begin(self) -> None:
        async with self.engine.begin() as connection:
            await mode.let_triggers_sleep(connection)
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
            self._object(key).id = number
            self.objects[to] = self.objects.pop(key)
            self.now = moved(self.now, {key: number})
            self.vacated.add(key)

    # -- what one can do with a link

    @rule(link=links)
    def link(self, link: Key) -> None:
        if link not in self.now and self.now.keys() >= set(ends(link)):
            self.flush()
            thing, slim = map(self._object, ends(link))
            self.run(self.session.run_sync(lambda _: thing.slims.append(slim)))
            self.now[link] = ()

    @rule(link=links)
    def unlink(self, link: Key) -> None:
        if link in self.now:
            self.flush()
            thing, slim = map(self._object, ends(link))
            self.run(self.session.run_sync(lambda _: thing.slims.remove(slim)))
            del self.now[link]

    @rule(thing=st.sampled_from(NUMBERS), slims=st.sets(st.sampled_from(NUMBERS)))
    def link_by_a_statement(self, thing: int, slims: set[int]) -> None:
        self.flush()
        wanted = [(linked, (thing, slim)) for slim in sorted(slims)]
        new = [link for link in wanted if link not in self.now and self.now.keys() >= set(ends(link))]
        if new:
            self._execute(insert(linked), [{"thing_id": link[1][0], "slim_id": link[1][1]} for link in new])
            self.now |= dict.fromkeys(new, ())
            self._flushed()

    @rule(thing=st.sampled_from(NUMBERS))
    def unlink_by_a_statement(self, thing: int) -> None:
        self.flush()
        self._execute(delete(linked).where(linked.c.thing_id == thing))
        self.now = {key: row for key, row in self.now.items() if key[0] is not linked or key[1][0] != thing}
        self._flushed()

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
        self.now = without(self.now, *(key for key, row in self.now.items() if key[0] is model and row[1] == size))
        self._flushed()

    @rule(model=models)
    def rotate_keys_by_a_statement(self, model: Any) -> None:
        self.flush()
        # Through keys that nobody has: a database may check each row as it comes.
        self._execute(update(model).values(id=model.id + 10))
        self._execute(update(model).values(id=(model.id - 10) % 3 + 1))
        self.now = moved(self.now, {key: key[1] % 3 + 1 for key in KEYS if key[0] is model})
        self._flushed()

    @precondition(lambda self: not self.savepoints)
    @rule(key=keys, row=st.none() | rows)
    def write_past_history_and_repair_it(self, key: Key, row: Row | None) -> None:
        self.commit()
        self._execute(delete(key[0]).where(key[0].id == key[1]), recorded=False)  # type: ignore[attr-defined]
        if row is not None:
            self._execute(insert(key[0]).values(id=key[1], name=row[0], size=row[1]), recorded=False)
        self.now = without(self.now, key)
        if row is not None:
            self.now[key] = row
        self._repair()

    @precondition(lambda self: not self.savepoints)
    @rule(some=st.sets(links, min_size=1, max_size=4))
    def link_past_history_and_repair_it(self, some: set[Key]) -> None:
        self.commit()
        for link in some & self.now.keys():
            self._link_by_text("DELETE FROM linked WHERE thing_id = :thing AND slim_id = :slim", link)
            del self.now[link]
            some = some - {link}
        for link in some:
            if self.now.keys() >= set(ends(link)):
                self._link_by_text("INSERT INTO linked (thing_id, slim_id) VALUES (:thing, :slim)", link)
                self.now[link] = ()
        self._repair()

    def _link_by_text(self, statement: str, link: Key) -> None:
        # Triggers would see it.
        thing, slim = link[1]
        self._execute(text(statement).bindparams(thing=thing, slim=slim), recorded=not mode.is_native())

    def _repair(self) -> None:
        found = self.run(ac.verify(self.session, Thing, Slim))
        assert len(found) == len(set(found))
        assert set(found) == discrepancies(self.committed[-1], self.now)
        assert self.run(ac.backfill(self.session, Thing, Slim, batch=2, repair=True)) == len(found)
        self.commit()

    @precondition(lambda self: not self.savepoints)
    @rule()
    def vacuum(self) -> None:
        self.commit()
        assert self.run(ac.vacuum(self.session, Thing, Slim)) == 0
        self.commit()

    def _execute(self, statement: Any, parameters: Any = None, *, recorded: bool = True) -> None:
        async def execute() -> None:
            # Here, because a runner has a context of its own.
            with nullcontext() if recorded else versioning_disabled():
                options = {"synchronize_session": False}
                await self.session.execute(statement, parameters, execution_options=options)

        self.run(execute())
        self.session.expunge_all()
        self.objects.clear()

    def _remove(self, key: Key) -> None:
        bound = links_of(self.now, key)
        if bound:
            # A row that comes again in the same flush would keep its links.
            self.flush()
            self._forget_collections()
        gone = self._object(key)
        if inspect(gone).pending:
            self.session.expunge(gone)
        else:
            if inspect(gone).identity != (key[1],):
                self.flush()
            self.run(self.session.delete(gone))
        self.now = without(self.now, key)
        del self.objects[key]
        if bound:
            self.flush()

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
        for key in KEYS + LINKS:
            if before.get(key) != after.get(key):
                self.told[key].append(net(before.get(key), after.get(key), self.stored[key]))
        if before != after:
            self.committed.append(after)
        self.stored = dict(after)
        self.run(self._check(every_moment=False))

    def _flushed(self) -> None:
        self.stored |= self.now
        self.vacated.clear()

    def _forget_collections(self) -> None:
        """Let no object believe in links that the database has taken away, or a rollback brought back."""
        for each in self.session.identity_map.values():
            if isinstance(each, Thing):
                self.session.expire(each, ["slims"])

    def _forget(self, *, all_savepoints: bool = False) -> None:
        self._forget_collections()
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
            for model in (Thing, Slim):
                await self._check_versions(session, model, transactions)
            await self._check_links(session)
            moments = zip(transactions, self.committed[1:], strict=True) if every_moment else ()
            for key, (transaction, state) in product(KEYS, moments):
                alive = await ac.versions_of(session, *key).at(transaction)
                assert (alive and (alive.name, alive.size)) == state.get(key)  # type: ignore[attr-defined]

    async def _check_versions(self, session: AsyncSession, model: Any, transactions: list[int]) -> None:
        version_class: Any = ac.version_class(model)
        found = await session.scalars(select(version_class).order_by(version_class.id, version_class.transaction_id))
        changesets: dict[Any, Any] = await ac.changesets(session, found.all())
        told: dict[Key, list[tuple[Operation, Row]]] = {key: [] for key in KEYS if key[0] is model}
        for number, group in groupby(changesets, lambda version: version.id):
            versions, key, before = list(group), (model, number), None
            begins = [version.transaction_id for version in versions]
            assert [version.end_transaction_id for version in versions] == [*begins[1:], None]
            assert set(begins) <= set(transactions)
            for version in versions:
                row = (version.name, version.size)
                told[key].append((version.operation_type, row))
                gone = version.operation_type is Operation.DELETE
                assert changesets[version] == (changes(key, row, None) if gone else changes(key, before, row))
                before = None if gone else row
        assert told == {key: self.told[key] for key in told}

    async def _check_links(self, session: AsyncSession) -> None:
        versions = ac.version_table(linked)
        told: dict[Key, list[tuple[Operation, Row]]] = {link: [] for link in LINKS}
        last: dict[Key, int | None] = {}
        for row in await session.execute(select(versions).order_by(versions.c.transaction_id)):
            link = (linked, (row.thing_id, row.slim_id))
            assert last.get(link, row.transaction_id) == row.transaction_id
            last[link] = row.end_transaction_id
            told[link].append((Operation(row.operation_type), ()))
        assert not any(last.values())
        assert told == {link: self.told[link] for link in LINKS}

    def teardown(self) -> None:
        self.run(self._finish())

    async def _finish(self) -> None:
        await self.session.close()
        await self._check(every_moment=True)
        await assert_invariants(self.engine, manager)


@pytest.mark.timeout(240)
def test_a_random_life(backend: str, places: Places) -> None:
    examples = {"sqlite": 25, "postgresql": 15}.get(backend, 15)
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
