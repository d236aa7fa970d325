-- Rows that are gone because they were old, and the chain up to them: where an audit goes on. Sealed, so that nobody without the
-- secret can pass off as old what was taken out.
CREATE TABLE pruned (
    seq   INTEGER NOT NULL PRIMARY KEY, -- the last of the rows that are gone
    chain BLOB    NOT NULL,             -- keyed hash over that row and all before it
    seal  BLOB    NOT NULL              -- keyed hash over this record
) STRICT;
