"""Prove §10 of the contract: user code passes both type checkers, and mistakes are errors in both."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


# Both read SQLAlchemy from scratch on a machine where they never ran.
pytestmark = [pytest.mark.timeout(300), pytest.mark.parametrize("check", [mypy, pyright])]


def test_user_code_passes(check) -> None:
    assert check(HERE / "good.py") == {}


def test_exactly_the_mistakes_are_errors(check) -> None:
    errors = check(HERE / "mistakes.py")
    assert sorted(errors) == marked(HERE / "mistakes.py"), errors
