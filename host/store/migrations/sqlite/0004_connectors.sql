-- Installed connectors: components that never change, which of them is used, who may sign them, and what was done. See
-- 0001 for the conventions.

-- A component is found by its digest, and what was read is compared with that again before it is used. Components are
-- kept here and not in files beside: one backup holds what runs, several hosts on one database find the same, and no name
-- that somebody chose ever becomes the name of a file.
CREATE TABLE connector_component (
    tenant TEXT NOT NULL,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
    bytes  BLOB NOT NULL,
    PRIMARY KEY (tenant, sha256)
) STRICT;

-- What is known about each.
CREATE TABLE connector_revision (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- in the order in which they were staged
    tenant TEXT    NOT NULL,
    sha256 TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    body   TEXT    NOT NULL,
    UNIQUE (tenant, sha256),
    FOREIGN KEY (tenant, sha256) REFERENCES connector_component (tenant, sha256)
) STRICT;

-- Which revisions of a connector are used: what is active, what accounts try, and which accounts went back.
CREATE TABLE connector (
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;

-- What each account has made of a revision since it got it.
CREATE TABLE connector_trial (
    tenant  TEXT    NOT NULL,
    sha256  TEXT    NOT NULL,
    account TEXT    NOT NULL,
    runs    INTEGER NOT NULL,
    strikes INTEGER NOT NULL,
    PRIMARY KEY (tenant, sha256, account)
) STRICT, WITHOUT ROWID;

-- Who may sign connectors.
CREATE TABLE connector_key (
    tenant TEXT NOT NULL,
    name   TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- What was done, and by whom. Rows are only ever added.
CREATE TABLE connector_history (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    body   TEXT    NOT NULL
) STRICT;

CREATE INDEX connector_history_by_name ON connector_history (tenant, name, number);

CREATE TRIGGER connector_history_is_kept BEFORE DELETE ON connector_history
BEGIN SELECT RAISE(ABORT, 'the history of connectors only grows'); END;

CREATE TRIGGER connector_history_stays BEFORE UPDATE ON connector_history
BEGIN SELECT RAISE(ABORT, 'the history of connectors only grows'); END;
