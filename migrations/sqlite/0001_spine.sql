-- One row per attempt, and one per cache hit (attempt 0). Money in nano-dollars, times in milliseconds since 1970 UTC.
-- A token column is NULL where the provider did not report usage; a reported zero is 0.
CREATE TABLE llm_calls (
    request_id            TEXT    NOT NULL,
    attempt               INTEGER NOT NULL,
    started_ms            INTEGER NOT NULL,
    tenant                TEXT    NOT NULL,
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
    price_version         TEXT,             -- the price list that the price is from
    clamped               INTEGER NOT NULL, -- 1 where tokens that cannot be were clamped to the bound of the request
    first_frame_ms        INTEGER,
    total_ms              INTEGER NOT NULL,
    -- The start is part of the key because a client may send the same request id again; a row written twice has the same start.
    PRIMARY KEY (request_id, attempt, started_ms)
) STRICT, WITHOUT ROWID;

-- The cost is in the index so that a key's spending is summed up without touching the rows.
CREATE INDEX llm_calls_by_key ON llm_calls (key_id, started_ms, cost_nanos) WHERE key_id IS NOT NULL;
CREATE INDEX llm_calls_by_start ON llm_calls (started_ms);

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
