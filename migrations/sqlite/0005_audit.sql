-- What tools were called for that do more than read, by whom, and what came of it: rows are appended and never changed. Times in
-- milliseconds since 1970 UTC, money in nano-dollars.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY, -- from 1, without a gap
    chain       BLOB    NOT NULL,    -- keyed hash over this row and all before it
    at_ms       INTEGER NOT NULL,
    session_id  TEXT,
    tenant      TEXT    NOT NULL,
    key_id      TEXT,
    user_id     TEXT,
    tool        TEXT    NOT NULL,
    effect      TEXT    NOT NULL,    -- write, exec or net
    arguments   BLOB    NOT NULL,    -- their hash
    event       TEXT    NOT NULL,    -- allowed, refused or ended
    why         TEXT,                -- of what was refused
    allowed_seq INTEGER,             -- of what has ended: the row that let it in,
    outcome     TEXT,                -- how,
    cost_nanos  INTEGER              -- and what it cost, where anything was paid
) STRICT;

-- The last row, and who writes next: one row, which each writer changes first.
CREATE TABLE audit_end (
    id    INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq   INTEGER NOT NULL,
    chain BLOB    NOT NULL
) STRICT;
INSERT INTO audit_end (id, seq, chain) VALUES (1, 0, zeroblob(16));
