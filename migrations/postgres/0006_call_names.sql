-- Names that clients have given to calls, so that each is carried out once.
CREATE TABLE call_names (
    name     BYTEA  NOT NULL PRIMARY KEY, -- 256 bits over tenant, API key and the client's own name
    state    BYTEA  NOT NULL,             -- who carries the call out, or what came of it
    until_ms BIGINT NOT NULL              -- forgotten after that, in milliseconds since 1970 UTC
);
CREATE INDEX call_names_by_end ON call_names (until_ms);
