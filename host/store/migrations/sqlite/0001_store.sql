-- Everything of a tenant begins with `tenant`, so that one file can hold several and a partition can be cut by it.
-- JSON texts are the serialised types of `samspel-model`; columns beside them are what is searched or sorted by.
-- Times in columns are microseconds since 1970 (UTC); the JSON keeps them exactly.

PRAGMA application_id = 0x53616D73; -- "Sams": tells our files from those of other programs

-- The number of the newest commit.
CREATE TABLE meta (
    tenant   TEXT    NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The two endpoints of each sync that observations are to reach.
CREATE TABLE sync (
    tenant     TEXT NOT NULL,
    sync       TEXT NOT NULL,
    side       TEXT NOT NULL CHECK (side IN ('a', 'b')),
    account    TEXT NOT NULL,
    collection TEXT NOT NULL,
    PRIMARY KEY (tenant, sync, side)
) STRICT, WITHOUT ROWID;

CREATE INDEX sync_by_endpoint ON sync (tenant, account, collection);

-- What a side was last seen to hold; shared by all syncs on the endpoint.
CREATE TABLE observation (
    tenant         TEXT NOT NULL,
    account        TEXT NOT NULL,
    collection     TEXT NOT NULL,
    id             TEXT NOT NULL,
    presence       TEXT NOT NULL CHECK (presence IN ('present', 'archived', 'gone', 'out-of-scope')),
    hash           TEXT NOT NULL,
    fields         TEXT NOT NULL,
    consents       TEXT NOT NULL,
    deliverability TEXT,
    aliases        TEXT NOT NULL,
    keys           TEXT NOT NULL, -- [[field, value]]: the rows of match_key
    revision_token TEXT,
    revision_order INTEGER,
    modified       TEXT,
    snapshot       INTEGER,       -- the newest snapshot that saw it
    written_seq    INTEGER,       -- the commit of our last write to it
    PRIMARY KEY (tenant, account, collection, id)
) STRICT;

-- Normalised values by which present records are matched.
CREATE TABLE match_key (
    tenant     TEXT NOT NULL,
    account    TEXT NOT NULL,
    collection TEXT NOT NULL,
    field      TEXT NOT NULL,
    value      TEXT NOT NULL,
    id         TEXT NOT NULL,
    PRIMARY KEY (tenant, account, collection, field, value, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE link (
    tenant TEXT NOT NULL,
    sync   TEXT NOT NULL,
    id     TEXT NOT NULL,
    a      TEXT NOT NULL,
    b      TEXT NOT NULL,
    base   TEXT NOT NULL,
    PRIMARY KEY (tenant, sync, id),
    UNIQUE (tenant, sync, a),
    UNIQUE (tenant, sync, b)
) STRICT;

-- The queue. AUTOINCREMENT, because a position must never be given twice, even when the queue was empty in between.
CREATE TABLE dirty (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT    NOT NULL,
    sync     TEXT    NOT NULL,
    side     TEXT    NOT NULL CHECK (side IN ('a', 'b')),
    id       TEXT    NOT NULL,
    refetch  INTEGER NOT NULL CHECK (refetch IN (0, 1)),
    UNIQUE (tenant, sync, side, id)
) STRICT;

CREATE INDEX dirty_in_order ON dirty (tenant, sync, position);

CREATE TABLE intent (
    tenant TEXT NOT NULL,
    sync   TEXT NOT NULL,
    id     TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (tenant, sync, id)
) STRICT;

CREATE TABLE conflict (
    tenant TEXT    NOT NULL,
    sync   TEXT    NOT NULL,
    side   TEXT    NOT NULL CHECK (side IN ('a', 'b')),
    record TEXT    NOT NULL,
    about  TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (tenant, sync, side, record, about)
) STRICT;

CREATE INDEX conflict_by_age ON conflict (tenant, sync, at);

CREATE TABLE parked (
    tenant TEXT    NOT NULL,
    sync   TEXT    NOT NULL,
    side   TEXT    NOT NULL CHECK (side IN ('a', 'b')),
    record TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (tenant, sync, side, record)
) STRICT;

CREATE INDEX parked_by_age ON parked (tenant, sync, at);

-- Append-only; outlives a reset of its sync.
CREATE TABLE journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    sync   TEXT NOT NULL,
    side   TEXT CHECK (side IN ('a', 'b')),
    record TEXT,
    body   TEXT NOT NULL
) STRICT;

CREATE INDEX journal_in_order ON journal (tenant, sync, number);
CREATE INDEX journal_by_record ON journal (tenant, sync, side, record, number) WHERE record IS NOT NULL;

CREATE TABLE run (
    tenant  TEXT    NOT NULL,
    sync    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    started INTEGER NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (tenant, sync, id)
) STRICT;

CREATE INDEX run_by_start ON run (tenant, sync, started);

-- A row stays when the lease is given back (owner and until are NULL then), so that tokens never repeat. `opened` names
-- the open store that took it (src/presence.rs).
CREATE TABLE lease (
    tenant TEXT    NOT NULL,
    sync   TEXT    NOT NULL,
    owner  TEXT,
    until  INTEGER,
    token  INTEGER NOT NULL,
    opened TEXT,
    PRIMARY KEY (tenant, sync)
) STRICT, WITHOUT ROWID;

CREATE TABLE sync_state (
    tenant TEXT NOT NULL,
    sync   TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (tenant, sync)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursor (
    tenant TEXT NOT NULL,
    sync   TEXT NOT NULL,
    side   TEXT NOT NULL CHECK (side IN ('a', 'b')),
    body   TEXT NOT NULL,
    PRIMARY KEY (tenant, sync, side)
) STRICT;

-- Sealed by the vault: a nonce, then the cipher text. The key is not in this file.
CREATE TABLE secret (
    tenant     TEXT NOT NULL,
    account    TEXT NOT NULL,
    credential TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    PRIMARY KEY (tenant, account, credential)
) STRICT, WITHOUT ROWID;
