"""Fit generated names into the identifier length of every database."""

from __future__ import annotations

from hashlib import blake2s

# PostgreSQL's limit, in bytes; MariaDB's is 64 characters, SQLite has none.
LIMIT = 63


def fit(name: str) -> str:
    """Shorten a name that is too long to its beginning and a hash of the whole, the same in every process."""
    encoded = name.encode()
    if len(encoded) <= LIMIT:
        return name
    digest = blake2s(encoded, digest_size=4).hexdigest()
    # Aliases, "<name>_1", SQLAlchemy fits by characters, and PostgreSQL by bytes: where the two differ, leave room.
    room = LIMIT if name.isascii() else LIMIT - 5
    return f"{encoded[: room - 9].decode(errors='ignore')}_{digest}"
