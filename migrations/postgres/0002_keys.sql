-- API keys: never the secret, only its keyed hash.
CREATE TABLE api_keys (
    id                TEXT     NOT NULL PRIMARY KEY,
    version           BIGINT   NOT NULL,
    name              TEXT     NOT NULL,
    role              TEXT     NOT NULL, -- user or admin
    hash              BYTEA    NOT NULL,
    previous_hash     BYTEA,             -- of the secret before a rotation, which opens until
    previous_until_ms BIGINT,
    tenant            TEXT     NOT NULL,
    parent            TEXT REFERENCES api_keys (id),
    project           TEXT,
    models            TEXT     NOT NULL, -- a JSON array of names; empty means all
    max_tier          SMALLINT,
    routes            TEXT     NOT NULL, -- a JSON array of names; empty means all
    budgets           TEXT     NOT NULL, -- a JSON array of texts like 5/month@15 Europe/Berlin
    warn_at           SMALLINT,          -- percent
    on_exhaust        TEXT     NOT NULL, -- downgrade or refuse
    on_store_down     TEXT     NOT NULL, -- closed or open
    rpm               BIGINT,
    tpm               BIGINT,
    created_ms        BIGINT   NOT NULL,
    expires_ms        BIGINT,
    revoked_ms        BIGINT
);

CREATE INDEX api_keys_by_parent ON api_keys (parent) WHERE parent IS NOT NULL;
