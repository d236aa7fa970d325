-- What tools were called for that do more than read, by whom, and what came of it: rows are appended and never changed. Times in
-- milliseconds since 1970 UTC, money in nano-dollars.
CREATE TABLE audit (
    seq         BIGINT NOT NULL PRIMARY KEY, -- from 1, without a gap, over all processes
    at_ms       BIGINT NOT NULL,
    allowed_seq BIGINT,                      -- of what has ended: the row that let it in
    cost_nanos  BIGINT,                      -- of what has ended, where anything was paid
    chain       BYTEA  NOT NULL,             -- keyed hash over this row and all before it
    arguments   BYTEA  NOT NULL,             -- their hash
    session_id  TEXT,
    tenant      TEXT   NOT NULL,
    key_id      TEXT,
    user_id     TEXT,
    tool        TEXT   NOT NULL,
    effect      TEXT   NOT NULL,             -- write, exec or net
    event       TEXT   NOT NULL,             -- allowed, refused or ended
    why         TEXT,                        -- of what was refused
    outcome     TEXT                         -- of what has ended
);

-- The last row, and who writes next: one row, which each writer locks first.
CREATE TABLE audit_end (
    id    SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seq   BIGINT   NOT NULL,
    chain BYTEA    NOT NULL
);
INSERT INTO audit_end (id, seq, chain) VALUES (1, 0, '\x00000000000000000000000000000000');
