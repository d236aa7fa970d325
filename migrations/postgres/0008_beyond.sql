-- What has arrived of calls that were held from a lease and that it could not pay for. With it a holder knows of each of its calls
-- whether it has arrived, whoever has paid.
ALTER TABLE leases ADD COLUMN beyond_nanos BIGINT NOT NULL DEFAULT 0 CHECK (beyond_nanos >= 0);
