"""Hold the house's rule: imports go down only, and through the door of a room."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "async_continuum"

FLOORS = {
    "errors": 0,
    "operation": 0,
    "declare": 1,
    "dialects": 1,
    "build": 2,
    "record": 3,
    "native": 3,
    "write": 3,
    "read": 3,
    "revert": 4,
    "maintain": 4,
    "past": 4,
    "plugins": 4,
    "model": 5,
    "manager": 6,
    "__init__": 7,
    # Optional, and imported by nobody in the house: above the roof.
    "schema": 8,
    "ext": 9,
}

DRIVERS_AND_FRAMEWORKS = {
    "aiosqlite",
    "asyncpg",
    "psycopg",
    "fastapi",
    "starlette",
    "litestar",
    "quart",
    "celery",
    "alembic",
}

FILES = sorted(PACKAGE.rglob("*.py"))


@dataclass(frozen=True, slots=True)
class Import:
    """One module or name that a file of the package takes from the package. Lives for one test."""

    line: int
    target: tuple[str, ...]

    @property
    def room(self) -> str:
        return self.target[0] if self.target and self.target[0] in FLOORS else "__init__"


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(file: Path) -> Iterator[Import]:
    """Give every import of the package's own, in functions and for type checkers too."""
    here = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                modules = [tuple(alias.name.split(".")) for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                start = here[: len(here) - level + 1] if level else ()
                source = start + tuple(module.split(".") if module else ())
                modules = [(*source, alias.name) for alias in names]
            case _:
                continue
        for module in modules:
            if module[0] == PACKAGE.name:
                yield Import(node.lineno, module[1:])


def names_bound_in(room: str) -> set[str]:
    """Name what a room hands out: whatever its `__init__` binds at the top."""
    door = PACKAGE / room / "__init__.py"
    bound: set[str] = set()
    for node in ast.parse(door.read_text(encoding="utf-8")).body:
        match node:
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                bound |= {alias.asname or alias.name for alias in names}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.Assign(targets=targets):
                bound |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                bound.add(name)
    return bound


def reaches_past_the_door(target: tuple[str, ...]) -> bool:
    room, *inside = target
    folder = PACKAGE / room
    if not inside or not folder.is_dir():
        return False
    is_file_of_the_room = (folder / f"{inside[0]}.py").exists() or (folder / inside[0]).is_dir()
    if len(inside) > 1:
        return True
    return is_file_of_the_room and inside[0] not in names_bound_in(room)


def test_there_is_a_house() -> None:
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=named)
def test_every_file_stands_on_a_floor(file: Path) -> None:
    assert room_of(file) in FLOORS, f"{named(file)}: give the room {room_of(file)!r} a floor in {Path(__file__).name}"


@pytest.mark.parametrize("file", FILES, ids=named)
def test_imports_go_down_only(file: Path) -> None:
    room = room_of(file)
    upwards = [
        f"{named(file)}:{found.line}: {room} (floor {FLOORS[room]}) imports {found.room} (floor {FLOORS[found.room]})"
        for found in imports_of(file)
        if found.room != room and FLOORS[found.room] >= FLOORS[room]
    ]
    assert upwards == []


@pytest.mark.parametrize("file", FILES, ids=named)
def test_rooms_are_entered_through_the_door(file: Path) -> None:
    past_the_door = [
        f"{named(file)}:{found.line}: imports async_continuum.{'.'.join(found.target)}"
        for found in imports_of(file)
        if found.room not in (room_of(file), "__init__") and reaches_past_the_door(found.target)
    ]
    assert past_the_door == []


def test_no_folder_of_tests_is_left_out(pytestconfig: pytest.Config) -> None:
    """What pytest leaves out by itself are folders called "build", which is one of our rooms."""
    left_out = pytestconfig.getini("norecursedirs")
    folders = {folder for file in (ROOT / "tests").rglob("test_*.py") for folder in file.relative_to(ROOT).parts[:-1]}
    assert "build" in folders
    assert not [folder for folder in folders if any(fnmatch(folder, pattern) for pattern in left_out)]


def test_importing_the_package_imports_no_driver_and_no_framework() -> None:
    program = "import sys, async_continuum; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert DRIVERS_AND_FRAMEWORKS.isdisjoint(run.stdout.split())


def test_importing_the_package_imports_no_dialect() -> None:
    """One takes as long as all of the package."""
    program = "import sys, async_continuum; print(*(n for n in sys.modules if n.startswith('sqlalchemy.dialects.')))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.split() == []


@pytest.mark.parametrize("file", FILES, ids=named)
def test_the_first_line_says_which_step_of_a_change_a_file_is(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("file", FILES, ids=named)
def test_a_file_tells_one_story(file: Path) -> None:
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= 300, f"{named(file)} has {lines} lines: it has two stories"
