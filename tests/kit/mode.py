"""Say whether the models of this run are recorded by the sessions that change them, or by PostgreSQL's triggers."""

import os

from async_continuum import GlobalOptions

NATIVE = "ASYNC_CONTINUUM_TEST_NATIVE"


def is_native() -> bool:
    """Whether this run is the one in which triggers record."""
    return bool(os.environ.get(NATIVE))


def options(**more: object) -> GlobalOptions:
    """Give the options of models that are recorded either way, and further ones."""
    return {"native_versioning": is_native(), **more}  # type: ignore[typeddict-item]
