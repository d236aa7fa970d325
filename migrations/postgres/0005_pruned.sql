-- Rows that are gone because they were old, and the chain up to them: where an audit goes on. Sealed, so that nobody without the
-- secret can pass off as old what was taken out.
CREATE TABLE pruned (
    journal INTEGER NOT NULL REFERENCES journals (id),
    seq     BIGINT  NOT NULL,
    alone   BOOLEAN NOT NULL, -- whether this row alone is gone, among rows that are there; or it and all before it
    chain   BYTEA   NOT NULL, -- keyed hash over that row and all before it
    seal    BYTEA   NOT NULL, -- keyed hash over this record
    PRIMARY KEY (journal, seq)
);
