-- Names that clients have given to calls, so that each is carried out once.
CREATE TABLE call_names (
    name     BLOB    NOT NULL PRIMARY KEY, -- 256 bits over tenant, API key and the client's own name
    state    BLOB    NOT NULL,             -- what came of the call
    until_ms INTEGER NOT NULL              -- forgotten after that, in milliseconds since 1970 UTC
) STRICT;
CREATE INDEX call_names_by_end ON call_names (until_ms);
