-- Notifications between being received and being understood, and where remotes send them. See 0001 for the conventions.

-- AUTOINCREMENT, because a position must never be given twice. `due` is NULL for what is not tried again by itself.
CREATE TABLE hook (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT    NOT NULL,
    endpoint TEXT    NOT NULL,
    received INTEGER NOT NULL,
    method   TEXT    NOT NULL,
    path     TEXT    NOT NULL,
    headers  TEXT    NOT NULL,
    body     BLOB    NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error    TEXT,
    due      INTEGER
) STRICT;

CREATE INDEX hook_in_order ON hook (tenant, endpoint, position);

-- That a remote sends notifications about a collection to the address with this fingerprint.
CREATE TABLE hook_subscription (
    tenant     TEXT NOT NULL,
    account    TEXT NOT NULL,
    collection TEXT NOT NULL,
    address    TEXT NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (tenant, account, collection)
) STRICT, WITHOUT ROWID;
