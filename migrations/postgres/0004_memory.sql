-- What conversations remember. Times in milliseconds since 1970 UTC.
CREATE TABLE conversations (
    tenant     TEXT   NOT NULL,
    id         TEXT   NOT NULL, -- what the tenant calls it
    key_id     TEXT,            -- the API key and the user that began it
    user_id    TEXT,
    count      BIGINT NOT NULL, -- of its messages
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE messages (
    tenant          TEXT   NOT NULL,
    conversation_id TEXT   NOT NULL,
    number          BIGINT NOT NULL, -- from 1, in the order of the conversation
    request_id      TEXT   NOT NULL, -- the call that it belongs to
    role            TEXT   NOT NULL,
    content         TEXT   NOT NULL, -- the message as JSON
    deployment      TEXT,            -- who answered the call
    created_ms      BIGINT NOT NULL,
    PRIMARY KEY (tenant, conversation_id, number),
    FOREIGN KEY (tenant, conversation_id) REFERENCES conversations (tenant, id) ON DELETE CASCADE
);
-- A turn is kept once.
CREATE INDEX messages_by_request ON messages (tenant, conversation_id, request_id);

CREATE TABLE context_summaries (
    tenant          TEXT   NOT NULL,
    conversation_id TEXT   NOT NULL,
    up_to           BIGINT NOT NULL, -- the last message that it stands for
    summary         TEXT   NOT NULL,
    deployment      TEXT,            -- who wrote it
    created_ms      BIGINT NOT NULL,
    PRIMARY KEY (tenant, conversation_id, up_to),
    FOREIGN KEY (tenant, conversation_id) REFERENCES conversations (tenant, id) ON DELETE CASCADE
);

-- One list a conversation, which may be there before the conversation is.
CREATE TABLE todo_lists (
    tenant          TEXT   NOT NULL,
    conversation_id TEXT   NOT NULL,
    version         BIGINT NOT NULL, -- counts its changes
    items           TEXT   NOT NULL, -- a JSON array
    created_ms      BIGINT NOT NULL,
    updated_ms      BIGINT NOT NULL,
    PRIMARY KEY (tenant, conversation_id)
);

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
