"""Run the tests on every Python, SQLAlchemy and driver that is supported.

`nox` runs all of them, `nox -s "tests-3.12(2.0)"` one, `nox -s tests -- tests/mappings tests/record` a part of each.
"""

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

OLDEST = ["sqlalchemy[asyncio]==2.0.31", "aiosqlite==0.20.0", "asyncpg==0.29.0", "psycopg[binary]==3.1.20"]
NEWEST_2_0 = ["sqlalchemy[asyncio]>=2.0,<2.1", "aiosqlite", "asyncpg", "psycopg[binary]"]
NEWEST = ["sqlalchemy[asyncio]>=2.1", "aiosqlite", "asyncpg", "psycopg[binary]"]

nox.options.default_venv_backend = "uv|venv"
nox.options.error_on_missing_interpreters = False


@nox.session(python=PYTHONS)
@nox.parametrize(
    "versions", [nox.param(OLDEST, id="oldest"), nox.param(NEWEST_2_0, id="2.0"), nox.param(NEWEST, id="2.1")]
)
def tests(session: nox.Session, versions: list[str]) -> None:
    """The suite, with one set of versions."""
    if versions is OLDEST and session.python != "3.11":
        session.skip("the oldest drivers have no wheels for newer Pythons")
    session.install("-e", ".[test]", "sqlmodel")
    # After the rest, so that these are what is tested.
    session.install(*versions)
    session.run("pytest", "-q", *session.posargs)
