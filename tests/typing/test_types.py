"""Prove §10 of the contract: user code passes both type checkers, and mistakes are errors in both."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import sqlalchemy
from _pytest.mark import ParameterSet

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

Errors = dict[int, str]


def run(*command: str, folder: Path) -> str:
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def mypy(file: Path) -> Errors:
    # Without the project's configuration: a user has another one.
    output = run("mypy", "--strict", "--config-file=", "--output=json", str(file), folder=ROOT)
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {
        error["line"]: error["message"]
        for error in found
        if error["severity"] == "error" and (ROOT / error["file"]).resolve() == file.resolve()
    }


def pyright(file: Path) -> Errors:
    # In its own folder, where `pyrightconfig.json` is.
    report = json.loads(run("pyright", "--outputjson", "--pythonpath", sys.executable, file.name, folder=HERE))
    assert report["summary"]["filesAnalyzed"] == 1
    found = [error for error in report["generalDiagnostics"] if error["severity"] == "error"]
    return {error["range"]["start"]["line"] + 1: error["message"] for error in found}


def marked(file: Path) -> list[int]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [number for number, line in enumerate(lines, start=1) if line.endswith("# error")]


def checker(check: Callable[[Path], Errors]) -> ParameterSet:
    missing = pytest.mark.skipif(find_spec(check.__name__) is None, reason=f"{check.__name__} is not installed")
    return pytest.param(check, marks=missing, id=check.__name__)


# Both read SQLAlchemy from scratch on a machine where they never ran.
pytestmark = [pytest.mark.timeout(300), pytest.mark.parametrize("check", [checker(mypy), checker(pyright)])]

# On SQLAlchemy 2.0 a `Select` has a tuple for its parameter and on 2.1 it has none: no annotation is right on both, and
# ours is that of 2.1. There `session.scalars(deleted(Article))` is known, on 2.0 it is Any.
KNOWN_FROM_2_1 = "# from 2.1"


def test_user_code_passes(check) -> None:
    errors = check(HERE / "good.py")
    if sqlalchemy.__version__.startswith("2.0."):
        lines = (HERE / "good.py").read_text(encoding="utf-8").splitlines()
        errors = {line: error for line, error in errors.items() if not lines[line - 1].endswith(KNOWN_FROM_2_1)}
    assert errors == {}


def test_exactly_the_mistakes_are_errors(check) -> None:
    errors = check(HERE / "mistakes.py")
    assert sorted(errors) == marked(HERE / "mistakes.py"), errors
