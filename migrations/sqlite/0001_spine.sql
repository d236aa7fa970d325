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
    id                TEXT    NOT NULL PRIMARY KEY,
    version           INTEGER NOT NULL,
    name              TEXT    NOT NULL,
    role              TEXT    NOT NULL, -- user or admin
    hash              BLOB    NOT NULL,
    previous_hash     BLOB,             -- of the secret before a rotation, which opens until
    previous_until_ms INTEGER,
    tenant            TEXT    NOT NULL,
    parent            TEXT REFERENCES api_keys (id),
    project           TEXT,
    models            TEXT    NOT NULL, -- a JSON array of names; empty means all
    max_tier          INTEGER,
    routes            TEXT    NOT NULL, -- a JSON array of names; empty means all
    budgets           TEXT    NOT NULL, -- a JSON array of texts like 5/month@15 Europe/Berlin
    warn_at           INTEGER,          -- percent
    on_exhaust        TEXT    NOT NULL, -- downgrade or refuse
    on_store_down     TEXT    NOT NULL, -- closed or open
    rpm               INTEGER,
    tpm               INTEGER,
    created_ms        INTEGER NOT NULL,
    expires_ms        INTEGER,
    revoked_ms        INTEGER
) STRICT;

CREATE INDEX api_keys_by_parent ON api_keys (parent) WHERE parent IS NOT NULL;
