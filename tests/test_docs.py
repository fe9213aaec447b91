"""What the documentation shows is Python, and every name that it imports from here is there."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+\.(?:md|py))?(?:#([^)\s]+))?\)")


def blocks(page: Path) -> Iterator[tuple[int, str]]:
    """Give the examples of a page, each with the line that it begins in."""
    text = page.read_text()
    for match in BLOCK.finditer(text):
        yield text.count("\n", 0, match.start(1)) + 1, match[1]


def parsed(code: str) -> ast.Module:
    """Parse an example as the body of a coroutine, which most of them are taken from."""
    tree = compile(code, "example", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(tree, ast.Module)
    return tree


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_example_is_python_and_imports_what_there_is(page: Path) -> None:
    wrong = []
    for line, code in blocks(page):
        try:
            tree = parsed(code)
        except SyntaxError as error:
            wrong.append(f"{line}: {error}")
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("async_continuum"):
                module = importlib.import_module(str(node.module))
                wrong += [f"{line}: {node.module}.{n.name}" for n in node.names if not hasattr(module, n.name)]
    assert wrong == []


def anchors(page: Path) -> set[str]:
    """Give what the headings of a page are called in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_documentation_leads_somewhere(page: Path) -> None:
    broken = []
    for match in LINK.finditer(page.read_text()):
        if match[1] is None and match[2] is None:
            continue
        target = page if match[1] is None else (page.parent / match[1]).resolve()
        if not target.exists() or (match[2] is not None and match[2] not in anchors(target)):
            broken.append(match[0])
    assert broken == []
