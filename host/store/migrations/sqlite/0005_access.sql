-- Who may use this installation, and who did what. See 0001 for the conventions.

-- Bearer tokens. Of the text only its SHA-256 is kept, which suffices for 256 random bits. A row stays when the token is
-- revoked: the audit log refers to it.
CREATE TABLE token (
    tenant    TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    role      TEXT    NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    hash      BLOB    NOT NULL CHECK (length(hash) = 32),
    created   INTEGER NOT NULL,
    expires   INTEGER,
    last_used INTEGER,
    revoked   INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE UNIQUE INDEX token_by_hash ON token (tenant, hash);
CREATE UNIQUE INDEX token_in_force ON token (tenant, name) WHERE revoked IS NULL;

-- Append-only: what was written stays.
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant  TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    who     TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT,
    detail  TEXT    NOT NULL,
    outcome TEXT    NOT NULL CHECK (outcome IN ('done', 'refused', 'failed'))
) STRICT;

CREATE INDEX audit_in_order ON audit (tenant, number);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

-- Credentials that a server refuses for good: a person must authorise the account again.
CREATE TABLE refused (
    tenant     TEXT    NOT NULL,
    account    TEXT    NOT NULL,
    credential TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    why        TEXT    NOT NULL,
    PRIMARY KEY (tenant, account, credential)
) STRICT, WITHOUT ROWID;
