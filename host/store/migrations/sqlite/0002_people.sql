-- What operators decided, and what is known about people rather than about pairs of records: opt-outs in force, and
-- what is left of erased people. See 0001 for the conventions.

-- What an operator said about a conflict or a hold, until a run has carried it out.
CREATE TABLE decision (
    tenant TEXT    NOT NULL,
    sync   TEXT    NOT NULL,
    side   TEXT    NOT NULL CHECK (side IN ('a', 'b')),
    record TEXT    NOT NULL,
    about  TEXT    NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (tenant, sync, side, record, about)
) STRICT;

-- Opt-outs in force; shared by all syncs on the endpoint. Of one that was lifted it is known that it does not come back.
CREATE TABLE restriction (
    tenant     TEXT NOT NULL,
    account    TEXT NOT NULL,
    collection TEXT NOT NULL,
    record     TEXT NOT NULL,
    channel    TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    body       TEXT NOT NULL,
    lifted     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, account, collection, record, channel, purpose)
) STRICT;

-- What is left of erased people.
CREATE TABLE suppression (
    tenant    TEXT NOT NULL,
    pseudonym TEXT NOT NULL,
    channel   TEXT NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (tenant, pseudonym, channel)
) STRICT;

-- Who an account was at the remote when it was last used.
CREATE TABLE account (
    tenant   TEXT NOT NULL,
    account  TEXT NOT NULL,
    identity TEXT NOT NULL,
    PRIMARY KEY (tenant, account)
) STRICT, WITHOUT ROWID;

-- The time of the newest commit.
ALTER TABLE meta ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET at = unixepoch() * 1000000;

-- The commit that changed a record last. `written_seq` is from now on the newest commit of which a direct answer about the
-- record tells: our own write, or a fetch.
ALTER TABLE observation ADD COLUMN changed_seq INTEGER;

-- The record that one lives on in that is gone because the two were merged.
ALTER TABLE observation ADD COLUMN merged_into TEXT;

-- Since when a record waits. Of those that wait already nothing better is known than that they wait now.
ALTER TABLE dirty ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
UPDATE dirty SET since = unixepoch() * 1000000;
DROP INDEX dirty_in_order;
CREATE INDEX dirty_in_order ON dirty (tenant, sync, position, since);

-- What a valve holds is told from what is undecided by its subject.
UPDATE conflict SET about = 'hold:delete', body = json_set(body, '$.about', 'hold:delete') WHERE about = 'delete';
ALTER TABLE conflict ADD COLUMN hold INTEGER GENERATED ALWAYS AS (substr(about, 1, 5) = 'hold:') VIRTUAL;
CREATE INDEX conflict_waiting ON conflict (tenant, sync, hold, at);

ALTER TABLE journal ADD COLUMN link TEXT;
ALTER TABLE journal ADD COLUMN run TEXT;
UPDATE journal SET link = body ->> '$.link', run = body ->> '$.run';
CREATE INDEX journal_by_link ON journal (tenant, sync, link, number) WHERE link IS NOT NULL;
CREATE INDEX journal_by_run ON journal (tenant, sync, run, number) WHERE run IS NOT NULL;

-- Opt-outs were kept with links, and in the bases that open writes make true when they are settled. They now belong to
-- the records: to both of a link, and to those that a write names. If several are known about one record, the newest
-- holds.
CREATE TEMPORARY TABLE opt_out AS
WITH base AS (
    SELECT tenant, sync, a, b, base FROM link
    UNION ALL
    SELECT tenant, sync,
           iif(body ->> '$.target' = 'a', effect, body ->> '$.source_record'),
           iif(body ->> '$.target' = 'b', effect, body ->> '$.source_record'),
           body -> '$.base'
    FROM (SELECT tenant, sync, body,
                 coalesce(body ->> '$.effect.update', body ->> '$.effect.remove[0]') AS effect FROM intent)
), said AS (
    SELECT tenant, sync, a, b, json_each.key AS name,
           json_each.value ->> '$.restricted.side' AS side,
           json_each.value ->> '$.restricted.at' AS at,
           json_each.value ->> '$.restricted.evidence' AS evidence
    FROM base, json_each(base.base, '$.consents')
    WHERE json_each.value ->> '$.restricted.at' IS NOT NULL
)
SELECT said.tenant, one.account, one.collection, iif(one.side = 'a', said.a, said.b) AS record,
       iif(instr(name, '/') > 0, substr(name, 1, instr(name, '/') - 1), name) AS channel,
       substr(name, instr(name, '/') + 1) AS purpose,
       -- Microseconds: the fraction has up to nine digits.
       coalesce(unixepoch(substr(said.at, 1, 19)) * 1000000
                + CAST(substr(rtrim(substr(said.at, 21), 'Z') || '000000', 1, 6) AS INTEGER), 0) AS micros,
       json_object('account', seen.account, 'at', said.at, 'evidence', said.evidence) AS body
FROM said
JOIN sync AS one ON one.tenant = said.tenant AND one.sync = said.sync
JOIN sync AS seen ON seen.tenant = said.tenant AND seen.sync = said.sync AND seen.side = said.side
WHERE iif(one.side = 'a', said.a, said.b) IS NOT NULL;

INSERT INTO restriction (tenant, account, collection, record, channel, purpose, body)
SELECT tenant, account, collection, record, channel, purpose, body FROM (
    SELECT *, row_number() OVER (PARTITION BY tenant, account, collection, record, channel, purpose
                                 ORDER BY micros DESC, body) AS place
    FROM opt_out)
WHERE place = 1;

DROP TABLE opt_out;

-- Where the endpoints are not known, the opt-out stays where it was.
UPDATE link
SET base = json_set(base, '$.consents', (
    SELECT json_group_object(key, json_remove(value, '$.restricted')) FROM json_each(base, '$.consents')))
WHERE EXISTS (SELECT 1 FROM json_each(base, '$.consents') WHERE value -> '$.restricted' IS NOT NULL)
AND (SELECT count(*) FROM sync WHERE sync.tenant = link.tenant AND sync.sync = link.sync) = 2;
