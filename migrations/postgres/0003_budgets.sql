-- A budget over one of its windows. What was spent and what is out with holders never exceeds the limit together.
CREATE TABLE budgets (
    account           TEXT   NOT NULL,
    span              TEXT   NOT NULL, -- the window, like month@15 Europe/Berlin
    start_ms          BIGINT NOT NULL,
    end_ms            BIGINT NOT NULL,
    limit_nanos       BIGINT NOT NULL,
    target_nanos      BIGINT,                    -- a lower limit that applies once it fits
    posted_nanos      BIGINT NOT NULL DEFAULT 0, -- spent
    granted_nanos     BIGINT NOT NULL DEFAULT 0, -- out in leases: held by calls, spent and not shipped yet, or idle
    excess_nanos      BIGINT NOT NULL DEFAULT 0, -- spent beyond the limit: truth that nobody had held
    unexplained_nanos BIGINT NOT NULL DEFAULT 0, -- of what was posted, the part without rows: holds of processes that died
    recall            BIGINT NOT NULL DEFAULT 0, -- counts the calls for idle money
    PRIMARY KEY (account, span, start_ms),
    CHECK (posted_nanos >= 0 AND granted_nanos >= 0 AND excess_nanos >= 0
           AND posted_nanos + granted_nanos <= limit_nanos)
);

-- A process that holds leases. Its epoch grows each time it starts: an older one has no say any more.
CREATE TABLE holders (
    holder  TEXT   NOT NULL PRIMARY KEY,
    epoch   BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL,
    ttl_ms  BIGINT NOT NULL
);

-- Money that one holder may give out without asking. Only the holder closes it, or an operator: never time alone.
CREATE TABLE leases (
    account       TEXT   NOT NULL,
    span          TEXT   NOT NULL,
    start_ms      BIGINT NOT NULL,
    holder        TEXT   NOT NULL REFERENCES holders (holder),
    epoch         BIGINT NOT NULL,
    granted_nanos BIGINT NOT NULL,
    spent_nanos   BIGINT NOT NULL DEFAULT 0,
    opened_ms     BIGINT NOT NULL,            -- by the holder's clock: what began earlier was not held from it
    state         TEXT   NOT NULL DEFAULT 'open', -- or 'past': its process is gone, and its last rows may still come
    recall_seen   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account, span, start_ms, holder, epoch),
    FOREIGN KEY (account, span, start_ms) REFERENCES budgets (account, span, start_ms),
    CHECK (spent_nanos >= 0 AND spent_nanos <= granted_nanos)
);

CREATE INDEX leases_by_holder ON leases (holder, epoch);
