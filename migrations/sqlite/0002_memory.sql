-- What conversations remember. Times in milliseconds since 1970 UTC.
CREATE TABLE conversations (
    tenant     TEXT    NOT NULL,
    id         TEXT    NOT NULL, -- what the tenant calls it
    key_id     TEXT,             -- the API key and the user that began it
    user_id    TEXT,
    count      INTEGER NOT NULL, -- of its messages
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    tenant          TEXT    NOT NULL,
    conversation_id TEXT    NOT NULL,
    number          INTEGER NOT NULL, -- from 1, in the order of the conversation
    request_id      TEXT    NOT NULL, -- the call that it belongs to
    role            TEXT    NOT NULL,
    content         TEXT    NOT NULL, -- the message as JSON
    deployment      TEXT,             -- who answered the call
    created_ms      INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation_id, number),
    FOREIGN KEY (tenant, conversation_id) REFERENCES conversations (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
-- A turn is kept once.
CREATE INDEX messages_by_request ON messages (tenant, conversation_id, request_id);

CREATE TABLE context_summaries (
    tenant          TEXT    NOT NULL,
    conversation_id TEXT    NOT NULL,
    up_to           INTEGER NOT NULL, -- the last message that it stands for
    summary         TEXT    NOT NULL,
    deployment      TEXT,             -- who wrote it
    created_ms      INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation_id, up_to),
    FOREIGN KEY (tenant, conversation_id) REFERENCES conversations (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- One list a conversation, which may be there before the conversation is.
CREATE TABLE todo_lists (
    tenant          TEXT    NOT NULL,
    conversation_id TEXT    NOT NULL,
    version         INTEGER NOT NULL, -- counts its changes
    items           TEXT    NOT NULL, -- a JSON array
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation_id)
) STRICT, WITHOUT ROWID;

-- What was learned about where calls of a kind should start.
CREATE TABLE routing_rules (
    id         TEXT     NOT NULL PRIMARY KEY,
    tenant     TEXT,              -- NULL is everybody
    pattern    TEXT     NOT NULL, -- what it applies to, as JSON
    tier       INTEGER NOT NULL,
    wins       INTEGER NOT NULL DEFAULT 0,
    losses     INTEGER NOT NULL DEFAULT 0,
    enabled    INTEGER NOT NULL DEFAULT 1,
    updated_ms INTEGER NOT NULL
) STRICT;

-- A budget over one of its windows, as the journal of one process leaves it. Processes that share budgets need PostgreSQL.
CREATE TABLE budgets (
    account           TEXT    NOT NULL,
    span              TEXT    NOT NULL,
    start_ms          INTEGER NOT NULL,
    end_ms            INTEGER NOT NULL,
    limit_nanos       INTEGER NOT NULL,
    target_nanos      INTEGER,
    posted_nanos      INTEGER NOT NULL DEFAULT 0,
    granted_nanos     INTEGER NOT NULL DEFAULT 0,
    excess_nanos      INTEGER NOT NULL DEFAULT 0,
    unexplained_nanos INTEGER NOT NULL DEFAULT 0,
    recall            INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, span, start_ms),
    CHECK (posted_nanos >= 0 AND granted_nanos >= 0 AND excess_nanos >= 0
           AND posted_nanos + granted_nanos <= limit_nanos)
) STRICT;

CREATE TABLE leases (
    account       TEXT    NOT NULL,
    span          TEXT    NOT NULL,
    start_ms      INTEGER NOT NULL,
    holder        TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    granted_nanos INTEGER NOT NULL,
    spent_nanos   INTEGER NOT NULL DEFAULT 0,
    opened_ms     INTEGER NOT NULL,
    state         TEXT    NOT NULL DEFAULT 'open',
    recall_seen   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, span, start_ms, holder, epoch),
    FOREIGN KEY (account, span, start_ms) REFERENCES budgets (account, span, start_ms),
    CHECK (spent_nanos >= 0 AND spent_nanos <= granted_nanos)
) STRICT;

-- What was asked, day by day. A view and not a table: it is never wrong, and nothing has to keep it.
CREATE VIEW analytics AS
SELECT date(started_ms / 1000, 'unixepoch') AS day,
       deployment, key_id,
       count(*) FILTER (WHERE attempt > 0) AS attempts,
       count(*) FILTER (WHERE attempt = 0) AS cache_hits,
       count(*) FILTER (WHERE status NOT IN ('ok', 'cache_hit')) AS failures,
       sum(input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens) AS input_tokens,
       sum(output_tokens + reasoning_tokens) AS output_tokens,
       sum(cost_nanos) AS cost_nanos
FROM llm_calls
GROUP BY 1, 2, 3;
