"""Find the INSERT, UPDATE or DELETE that is sent as something else: in `from_statement()` or `lambda_stmt()`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import StatementLambdaElement
from sqlalchemy.orm import FromStatement
from sqlalchemy.sql.expression import UpdateBase


def unwrapped(statement: Any) -> Any:
    """Give what a statement is in the end, whoever loads objects from it and however it was written."""
    if isinstance(statement, FromStatement):
        statement = statement.element
    if isinstance(statement, StatementLambdaElement):
        # Private: what the lambda gave, with the values that it sees now.
        statement = statement._resolved
        return unwrapped(statement)
    return statement


def wrapped(statement: Any, changed: UpdateBase, option: str) -> Any:
    """Give a statement with another one in the place of what it is in the end; an execution option of it goes along."""
    if isinstance(statement, StatementLambdaElement):
        statement = statement._resolved
    if not isinstance(statement, FromStatement):
        return changed
    options = changed.get_execution_options()
    outer = statement.execution_options(**{option: options[option]} if option in options else {})
    outer.element = changed
    return outer
