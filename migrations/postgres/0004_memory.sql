-- What conversations remember. Times in milliseconds since 1970 UTC.
CREATE TABLE conversations (
    id         TEXT   NOT NULL PRIMARY KEY,
    tenant     TEXT   NOT NULL,
    key_id     TEXT,
    user_id    TEXT,
    title      TEXT,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX conversations_by_tenant ON conversations (tenant, updated_ms);

CREATE TABLE messages (
    conversation_id TEXT    NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    number          INTEGER NOT NULL, -- from 1, in the order of the conversation
    role            TEXT    NOT NULL,
    content         TEXT    NOT NULL, -- the message as JSON
    tokens          BIGINT,
    request_id      TEXT,
    deployment      TEXT,
    created_ms      BIGINT  NOT NULL,
    PRIMARY KEY (conversation_id, number)
);

CREATE TABLE context_summaries (
    conversation_id TEXT    NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    up_to           INTEGER NOT NULL, -- the last message that it stands for
    summary         TEXT    NOT NULL,
    tokens          BIGINT,
    deployment      TEXT,
    created_ms      BIGINT  NOT NULL,
    PRIMARY KEY (conversation_id, up_to)
);

CREATE TABLE todo_lists (
    id              TEXT   NOT NULL PRIMARY KEY,
    conversation_id TEXT REFERENCES conversations (id) ON DELETE CASCADE,
    tenant          TEXT   NOT NULL,
    title           TEXT,
    items           TEXT   NOT NULL, -- a JSON array
    created_ms      BIGINT NOT NULL,
    updated_ms      BIGINT NOT NULL
);
CREATE INDEX todo_lists_by_conversation ON todo_lists (conversation_id) WHERE conversation_id IS NOT NULL;

-- What was learned about where calls of a kind should start.
CREATE TABLE routing_rules (
    id         TEXT     NOT NULL PRIMARY KEY,
    tenant     TEXT,              -- NULL is everybody
    pattern    TEXT     NOT NULL, -- what it applies to, as JSON
    tier       SMALLINT NOT NULL,
    wins       BIGINT   NOT NULL DEFAULT 0,
    losses     BIGINT   NOT NULL DEFAULT 0,
    enabled    BOOLEAN  NOT NULL DEFAULT TRUE,
    updated_ms BIGINT   NOT NULL
);
