-- One row per attempt, and one per cache hit (attempt 0), in the order of the journal: rows are appended and never changed. Money in nano-dollars, times in milliseconds since 1970 UTC.
-- A token column is NULL where the provider did not report usage; a reported zero is 0.
CREATE TABLE llm_calls (
    seq                   INTEGER PRIMARY KEY, -- the row's number in the journal, from 1, without a gap
    chain                 BLOB    NOT NULL,    -- keyed hash over this row and all before it
    request_id            TEXT    NOT NULL,
    attempt               INTEGER NOT NULL,
    started_ms            INTEGER NOT NULL,
    tenant                TEXT    NOT NULL,
    accounts              TEXT    NOT NULL,    -- who pays: a JSON array of names
    key_id                TEXT,
    user_id               TEXT,
    conversation_id       TEXT,
    op                    TEXT    NOT NULL,
    deployment            TEXT    NOT NULL,
    tier                  INTEGER NOT NULL,
    status                TEXT    NOT NULL,
    input_tokens          INTEGER,
    cache_read_tokens     INTEGER,
    cache_write_5m_tokens INTEGER,
    cache_write_1h_tokens INTEGER,
    output_tokens         INTEGER,
    reasoning_tokens      INTEGER,
    cost_nanos            INTEGER NOT NULL,
    cost_source           TEXT    NOT NULL,
    price_version         TEXT,                -- the price list that the cost was computed with
    clamped               INTEGER NOT NULL,    -- 1 if the provider reported what cannot be
    first_frame_ms        INTEGER,
    total_ms              INTEGER NOT NULL
) STRICT;

-- What each account has spent, by the quarter of an hour: where the days of every time zone begin. It outlives the rows.
CREATE TABLE spending (
    account    TEXT    NOT NULL,
    quarter    INTEGER NOT NULL, -- counted from 1970 UTC
    cost_nanos INTEGER NOT NULL,
    PRIMARY KEY (account, quarter)
) STRICT, WITHOUT ROWID;

-- API keys: never the secret, only its keyed hash.
CREATE TABLE api_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    tenant     TEXT    NOT NULL,
    models     TEXT    NOT NULL, -- a JSON array of names; empty means all
    max_tier   INTEGER,
    budget     TEXT,             -- like 5/month
    rpm        INTEGER,
    tpm        INTEGER,
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) STRICT;
