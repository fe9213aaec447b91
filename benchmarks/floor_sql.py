"""Hand-written SQL that keeps the same history: the floor. Triggers by row and by statement, and what a client sends.

It records what one flush of a transaction does and nothing harder: no second flush of the same row, no rollback to a
savepoint, no overtaking. The tables are `article_version` and `transaction` as everywhere.
Commands are separated by two semicolons: what drivers are handed one at a time.
"""

POSTGRESQL_TABLES = """
CREATE TABLE transaction (id bigserial PRIMARY KEY, issued_at timestamp, remote_addr varchar(50));;
CREATE TABLE article_version (
    id integer NOT NULL, name varchar(255), content text, views integer, created_at timestamp,
    transaction_id bigint NOT NULL, end_transaction_id bigint, operation_type smallint NOT NULL,
    PRIMARY KEY (id, transaction_id)
);;
CREATE INDEX ix_article_version_transaction_id ON article_version (transaction_id);;
CREATE INDEX ix_article_version_open ON article_version (id) WHERE end_transaction_id IS NULL
"""

SQLITE_TABLES = """
CREATE TABLE "transaction" (id integer PRIMARY KEY AUTOINCREMENT, issued_at timestamp, remote_addr varchar(50));;
CREATE TABLE article_version (
    id integer NOT NULL, name varchar(255), content text, views integer, created_at timestamp,
    transaction_id bigint NOT NULL, end_transaction_id bigint, operation_type smallint NOT NULL,
    PRIMARY KEY (id, transaction_id)
);;
CREATE INDEX ix_article_version_transaction_id ON article_version (transaction_id);;
CREATE UNIQUE INDEX ix_article_version_open ON article_version (id) WHERE end_transaction_id IS NULL
"""

# The id of the transaction is kept in a setting of the transaction: gone with it, and no table is touched for it.
TRANSACTION_ID = """
CREATE FUNCTION history_transaction() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE tx text := current_setting('floor.tx', true); id bigint;
BEGIN
    IF tx IS NOT NULL AND tx <> '' THEN RETURN tx::bigint; END IF;
    INSERT INTO transaction (issued_at) VALUES (clock_timestamp() AT TIME ZONE 'utc') RETURNING transaction.id INTO id;
    PERFORM set_config('floor.tx', id::text, true);
    RETURN id;
END $$
"""

ROW_TRIGGER = f"""{TRANSACTION_ID};;
CREATE FUNCTION article_history() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE tx bigint := history_transaction();
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE article_version SET end_transaction_id = tx WHERE id = OLD.id AND end_transaction_id IS NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO article_version VALUES
            (OLD.id, OLD.name, OLD.content, OLD.views, OLD.created_at, tx, NULL, 2);
    ELSE
        INSERT INTO article_version VALUES
            (NEW.id, NEW.name, NEW.content, NEW.views, NEW.created_at, tx, NULL, (TG_OP = 'UPDATE')::int);
    END IF;
    RETURN NULL;
END $$;;
CREATE TRIGGER insert_delete AFTER INSERT OR DELETE ON article
    FOR EACH ROW EXECUTE FUNCTION article_history();;
CREATE TRIGGER update AFTER UPDATE ON article
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION article_history()
"""

STATEMENT_TRIGGER = f"""{TRANSACTION_ID};;
CREATE FUNCTION article_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE tx bigint := history_transaction();
BEGIN
    INSERT INTO article_version SELECT id, name, content, views, created_at, tx, NULL, 0 FROM new_rows;
    RETURN NULL;
END $$;;
CREATE FUNCTION article_updated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE tx bigint := history_transaction();
BEGIN
    UPDATE article_version SET end_transaction_id = tx FROM new_rows
        WHERE article_version.id = new_rows.id AND end_transaction_id IS NULL;
    INSERT INTO article_version SELECT id, name, content, views, created_at, tx, NULL, 1 FROM new_rows;
    RETURN NULL;
END $$;;
CREATE FUNCTION article_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE tx bigint := history_transaction();
BEGIN
    UPDATE article_version SET end_transaction_id = tx FROM old_rows
        WHERE article_version.id = old_rows.id AND end_transaction_id IS NULL;
    INSERT INTO article_version SELECT id, name, content, views, created_at, tx, NULL, 2 FROM old_rows;
    RETURN NULL;
END $$;;
CREATE TRIGGER inserted AFTER INSERT ON article REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION article_inserted();;
CREATE TRIGGER updated AFTER UPDATE ON article REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION article_updated();;
CREATE TRIGGER deleted AFTER DELETE ON article REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION article_deleted()
"""

# On SQLite a trigger cannot know where a transaction begins: the client writes the transaction row before its flush.
SQLITE_TRIGGERS = """
CREATE TRIGGER inserted AFTER INSERT ON article BEGIN
    INSERT INTO article_version SELECT NEW.id, NEW.name, NEW.content, NEW.views, NEW.created_at,
        (SELECT max(id) FROM "transaction"), NULL, 0;
END;;
CREATE TRIGGER updated AFTER UPDATE ON article BEGIN
    UPDATE article_version SET end_transaction_id = (SELECT max(id) FROM "transaction")
        WHERE id = OLD.id AND end_transaction_id IS NULL;
    INSERT INTO article_version SELECT NEW.id, NEW.name, NEW.content, NEW.views, NEW.created_at,
        (SELECT max(id) FROM "transaction"), NULL, 1;
END;;
CREATE TRIGGER deleted AFTER DELETE ON article BEGIN
    UPDATE article_version SET end_transaction_id = (SELECT max(id) FROM "transaction")
        WHERE id = OLD.id AND end_transaction_id IS NULL;
    INSERT INTO article_version SELECT OLD.id, OLD.name, OLD.content, OLD.views, OLD.created_at,
        (SELECT max(id) FROM "transaction"), NULL, 2;
END
"""

_TAKEN = (
    "WITH taken AS (INSERT INTO transaction (issued_at) VALUES (clock_timestamp() AT TIME ZONE 'utc') RETURNING id) "
)
_CLOSED = (
    ", closed AS (UPDATE article_version v SET end_transaction_id = taken.id FROM taken"
    " WHERE v.id = ANY(:keys) AND v.end_transaction_id IS NULL RETURNING v.*) "
)
_LIVE = "INSERT INTO article_version SELECT a.id, a.name, a.content, a.views, a.created_at, taken.id, NULL, "

POSTGRESQL_SENT = {
    "insert": _TAKEN + _LIVE + "0 FROM article a, taken WHERE a.id = ANY(:keys)",
    "update": _TAKEN + _CLOSED + _LIVE + "1 FROM article a, taken WHERE a.id = ANY(:keys)",
    "delete": _TAKEN
    + _CLOSED
    + "INSERT INTO article_version SELECT c.id, c.name, c.content, c.views, c.created_at, taken.id, NULL, 2"
    " FROM closed c, taken",
}

# One statement that updates many rows: the versions are made of what it returns.
POSTGRESQL_STATEMENT = (
    _TAKEN
    + ", done AS (UPDATE article SET name = name || '!' WHERE views = 3 RETURNING id, name, content, views, created_at)"
    ", closed AS (UPDATE article_version v SET end_transaction_id = taken.id FROM done, taken"
    " WHERE v.id = done.id AND v.end_transaction_id IS NULL) "
    "INSERT INTO article_version SELECT done.*, taken.id, NULL, 1 FROM done, taken"
)

SQLITE_TAKE = "INSERT INTO \"transaction\" (issued_at) VALUES (strftime('%Y-%m-%d %H:%M:%f', 'now'))"
_KEYS = "id IN (SELECT value FROM json_each(:keys))"
_SQLITE_CLOSE = f"UPDATE article_version SET end_transaction_id = :tx WHERE {_KEYS} AND end_transaction_id IS NULL"
_SQLITE_COPY = "INSERT INTO article_version SELECT id, name, content, views, created_at, :tx, NULL, "
SQLITE_SENT = {
    "insert": [f"{_SQLITE_COPY} 0 FROM article WHERE {_KEYS}"],
    "update": [_SQLITE_CLOSE, f"{_SQLITE_COPY} 1 FROM article WHERE {_KEYS}"],
    "delete": [_SQLITE_CLOSE, f"{_SQLITE_COPY} 2 FROM article_version WHERE {_KEYS} AND end_transaction_id = :tx"],
}
_CHANGED = "(SELECT id FROM article WHERE views = 3)"
SQLITE_STATEMENT = [
    "UPDATE article SET name = name || '!' WHERE views = 3",
    f"UPDATE article_version SET end_transaction_id = :tx WHERE id IN {_CHANGED} AND end_transaction_id IS NULL",
    f"{_SQLITE_COPY} 1 FROM article WHERE views = 3",
]
