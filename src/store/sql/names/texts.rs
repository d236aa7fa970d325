//! The statements about names, for both databases.

/// The statements, with what the database calls the present.
pub(in crate::store) struct Texts {
    /// Where the database has one owner, a claim is known to that alone, and stands in its memory.
    pub(in crate::store) claim: Option<&'static str>,
    pub(in crate::store) look: &'static str,
    pub(in crate::store) renew: &'static str,
    pub(in crate::store) finish: &'static str,
    pub(in crate::store) abandon: &'static str,
    pub(in crate::store) prune: &'static str,
}

#[cfg(feature = "postgres")]
macro_rules! claim {
    ($now:literal) => {
        concat!(
            "INSERT INTO call_names (name, state, until_ms) VALUES ($1, $2, ",
            $now,
            " + $3) ON CONFLICT (name) DO UPDATE SET state = excluded.state, until_ms = excluded.until_ms \
             WHERE call_names.until_ms <= ",
            $now,
            " RETURNING until_ms"
        )
    };
}

macro_rules! texts {
    ($now:literal, $claim:expr) => {
        $crate::store::sql::names::Texts {
            claim: $claim,
            look: concat!("SELECT state FROM call_names WHERE name = $1 AND until_ms > ", $now),
            renew: concat!(
                "UPDATE call_names SET until_ms = ",
                $now,
                " + $3 WHERE name = $1 AND state = $2"
            ),
            finish: concat!(
                "INSERT INTO call_names (name, state, until_ms) VALUES ($1, $4, ",
                $now,
                " + $3) ON CONFLICT (name) DO UPDATE SET state = excluded.state, until_ms = excluded.until_ms \
                 WHERE call_names.state = $2 OR call_names.until_ms <= ",
                $now
            ),
            abandon: "DELETE FROM call_names WHERE name = $1 AND state = $2",
            prune: concat!(
                "DELETE FROM call_names WHERE name IN (SELECT name FROM call_names WHERE until_ms <= ",
                $now,
                " LIMIT $1)"
            ),
        }
    };
}

#[cfg(feature = "postgres")]
pub(in crate::store) use claim;
pub(in crate::store) use texts;
