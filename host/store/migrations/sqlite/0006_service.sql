-- What a service remembers besides its syncs. See 0001 for the conventions.

-- Requests that somebody may send again because the answer was lost. Who sent a request under which key, what it was (a fingerprint), and how it was answered. Without an answer it is under
-- way, or was when the process ended. An answer that held a secret is not kept.
CREATE TABLE request (
    tenant      TEXT    NOT NULL,
    principal   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    status      INTEGER,
    answer      TEXT,
    PRIMARY KEY (tenant, principal, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX request_by_age ON request (tenant, at);

-- What people were told of, as long as it lasts: since when, and when they were told last. Without that, nobody was yet.
CREATE TABLE notice (
    tenant  TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    since   INTEGER NOT NULL,
    told    INTEGER,
    PRIMARY KEY (tenant, kind, subject)
) STRICT, WITHOUT ROWID;
