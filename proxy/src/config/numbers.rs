//! Numbers that make no sense, alone or beside each other.

use super::{Config, Routing, error::Faults};

/// More than any computer can hold at once, and little enough to be counted.
const MOST: usize = 1_000_000_000;

impl Config {
    pub(super) fn check_numbers(&self, faults: &mut Faults<'_>) {
        self.conversation.check(faults);
        self.routing.check(faults);
        for (path, is_zero) in [
            ("limits.max_attempts", self.limits.max_attempts == 0),
            ("limits.max_in_flight", self.limits.max_in_flight == 0),
            ("limits.replicas", self.limits.replicas == Some(0)),
            ("limits.user_rpm", self.limits.user_rpm == Some(0)),
            ("limits.user_tpm", self.limits.user_tpm == Some(0)),
            ("store.connections", self.store.connections == 0),
            ("retry.max_tries", self.retry.max_tries == 0),
            ("breaker.failures", self.breaker.failures == 0),
            ("breaker.window", self.breaker.window == 0),
            ("server.body_limit", self.server.body_limit == 0),
            ("server.max_connections", self.server.max_connections == 0),
        ] {
            if is_zero {
                faults.at(path, "must be at least 1");
            }
        }
        for (path, number) in [
            ("limits.max_in_flight", self.limits.max_in_flight),
            ("server.max_connections", self.server.max_connections),
        ] {
            if number > MOST {
                faults.at(path, format_args!("must be at most {MOST}"));
            }
        }
        if self.breaker.percent == 0 {
            faults.at(
                "breaker.percent",
                "must be at least 1; more than 100 is never",
            );
        }
        if self.breaker.window > 64 {
            faults.at("breaker.window", "must be at most 64");
        }
    }
}

impl Routing {
    fn check(&self, faults: &mut Faults<'_>) {
        let (first, highest) = (self.default_tier, self.max_tier);
        if first <= highest {
            return;
        }
        // Whoever has not said how high calls climb has said too much of where they start.
        match highest == Self::default().max_tier {
            true => faults.at(
                "routing.default_tier",
                format_args!("{first} is above max_tier, which is {highest}; raise that too"),
            ),
            false => faults.at(
                "routing.max_tier",
                format_args!("{highest} is below default_tier {first}"),
            ),
        }
    }
}
