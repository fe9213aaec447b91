"""Let MariaDB make the tables of tests that say no length of their strings, which it alone asks for."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles

LENGTH = 190
"""As long as four such columns may be for one key of 3,072 bytes, at four bytes a character."""


@compiles(String, "mysql", "mariadb")
def varchar(type_: String, compiler: Any, **options: Any) -> str:
    """Compile a string of any length to one of `LENGTH`."""
    if type(type_) is String and type_.length is None:
        return f"VARCHAR({LENGTH})"
    return str(getattr(compiler, f"visit_{type_.__visit_name__}")(type_, **options))
