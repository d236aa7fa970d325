-- The journal of each gateway, and how far it has arrived.
CREATE TABLE journals (
    id    INTEGER NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name  TEXT    NOT NULL UNIQUE,
    seq   BIGINT  NOT NULL DEFAULT 0, -- the number of its last row that is here
    chain BYTEA                       -- keyed hash over that row and all before it
);

-- One row per attempt, and one per cache hit (attempt 0). Money in nano-dollars, times in milliseconds since 1970 UTC.
-- A token column is NULL where the provider did not report usage; a reported zero is 0.
-- A table per month, so that what is old goes by dropping a table.
CREATE TABLE llm_calls (
    -- The widest first: less padding.
    started_ms            BIGINT   NOT NULL,
    seq                   BIGINT   NOT NULL, -- the row's number in its journal, from 1, without a gap
    cost_nanos            BIGINT   NOT NULL,
    input_tokens          BIGINT,
    cache_read_tokens     BIGINT,
    cache_write_5m_tokens BIGINT,
    cache_write_1h_tokens BIGINT,
    output_tokens         BIGINT,
    reasoning_tokens      BIGINT,
    journal               INTEGER  NOT NULL REFERENCES journals (id),
    attempt               INTEGER  NOT NULL,
    total_ms              INTEGER  NOT NULL,
    first_frame_ms        INTEGER,
    tier                  SMALLINT NOT NULL,
    clamped               BOOLEAN  NOT NULL, -- whether tokens that cannot be were clamped to the bound of the request
    chain                 BYTEA    NOT NULL, -- keyed hash over this row and all of its journal before it
    request_id            TEXT     NOT NULL,
    tenant                TEXT     NOT NULL,
    accounts              TEXT     NOT NULL, -- who pays: a JSON array of names
    key_id                TEXT,
    user_id               TEXT,
    conversation_id       TEXT,
    op                    TEXT     NOT NULL,
    deployment            TEXT     NOT NULL,
    status                TEXT     NOT NULL,
    cost_source           TEXT     NOT NULL,
    price_version         TEXT,              -- the price list that the price is from
    PRIMARY KEY (journal, seq, started_ms)
) PARTITION BY RANGE (started_ms);

CREATE INDEX llm_calls_by_key ON llm_calls (key_id, started_ms) WHERE key_id IS NOT NULL;
-- Rows come nearly in the order of their start: this index is a few pages in all.
CREATE INDEX llm_calls_by_start ON llm_calls USING brin (started_ms) WITH (pages_per_range = 32);

-- Makes the table of the month around a time, if there is none. Two that come at once wait for each other.
CREATE FUNCTION llm_calls_month(at_ms BIGINT) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first TIMESTAMP := date_trunc('month', to_timestamp(at_ms / 1000) AT TIME ZONE 'UTC');
    name TEXT := 'llm_calls_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('rungs llm_calls_month'));
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE llm_calls INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        -- Unlike CREATE TABLE ... PARTITION OF, this lets others read and write meanwhile.
        EXECUTE format('ALTER TABLE llm_calls ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name,
            extract(epoch FROM first AT TIME ZONE 'UTC')::BIGINT * 1000,
            extract(epoch FROM (first + interval '1 month') AT TIME ZONE 'UTC')::BIGINT * 1000);
    END IF;
END $$;

-- Drops the tables of months that ended at a time or before; how many there were.
CREATE FUNCTION llm_calls_prune(before_ms BIGINT) RETURNS INTEGER LANGUAGE plpgsql AS $$
DECLARE
    month TEXT;
    dropped INTEGER := 0;
BEGIN
    FOR month IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'llm_calls'::regclass
          AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month'
              <= to_timestamp(before_ms / 1000) AT TIME ZONE 'UTC'
    LOOP
        EXECUTE format('DROP TABLE %I', month);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- What each account has spent, by the quarter of an hour: where the days of every time zone begin. It outlives the rows.
CREATE TABLE spending (
    account    TEXT   NOT NULL,
    quarter    BIGINT NOT NULL, -- counted from 1970 UTC
    cost_nanos BIGINT NOT NULL,
    PRIMARY KEY (account, quarter)
);

-- What was asked, day by day. A view and not a table: it is never wrong, and nothing has to keep it.
CREATE VIEW analytics AS
SELECT (to_timestamp(started_ms / 1000) AT TIME ZONE 'UTC')::DATE AS day,
       deployment, key_id,
       count(*) FILTER (WHERE attempt > 0) AS attempts,
       count(*) FILTER (WHERE attempt = 0) AS cache_hits,
       count(*) FILTER (WHERE status NOT IN ('ok', 'cache_hit')) AS failures,
       sum(input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens) AS input_tokens,
       sum(output_tokens + reasoning_tokens) AS output_tokens,
       sum(cost_nanos) AS cost_nanos
FROM llm_calls
GROUP BY 1, 2, 3;
