use std::fmt;

use rungs::{catalog::Tier, layers::escalate};

use super::edit::Flaw;

/// Why an answer was set aside. Nothing else makes the agent climb.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Evidence {
    /// What the gateway's own judge finds in an answer, or a failure to answer.
    Answer(escalate::Evidence),
    /// The answer is cut off.
    CutOff,
    /// It changes nothing.
    NoChange,
    /// Its changes cannot be made, or may not.
    Patch(Flaw),
    /// With it the tests fail, in this way.
    Tests(String),
    /// The reviewer found these faults.
    Review(Vec<String>),
}

impl Evidence {
    /// The kind of it, without a word from any model or file.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Answer(evidence) => evidence.to_string(),
            Self::CutOff => "the answer is cut off at its output limit".into(),
            Self::NoChange => "the answer has no change that can be read".into(),
            Self::Patch(Flaw::Refused { .. }) => "the answer touches what it may not".into(),
            Self::Patch(_) => "the change does not apply".into(),
            Self::Tests(_) => "the tests fail".into(),
            Self::Review(_) => "the reviewer disagrees".into(),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind())?;
        match self {
            Self::Patch(flaw) => write!(f, ": {flaw}"),
            Self::Tests(ending) => write!(f, ": {ending}"),
            Self::Review(issues) => {
                let issues = issues
                    .iter()
                    .map(|issue| serde_json::Value::from(issue.as_str()));
                let issues: Vec<_> = issues.map(|issue| issue.to_string()).collect();
                write!(f, ": {}", issues.join(", "))
            }
            _ => Ok(()),
        }
    }
}

/// Which tier is asked next: the same until its tries are used up, then the one above.
#[derive(Debug)]
pub(super) struct Climber {
    /// The tiers that may be asked, lowest first; never empty.
    tiers: Vec<Tier>,
    at: usize,
    tries: u32,
    tried: u32,
}

/// What follows on evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The same tier again, with what was found.
    Again,
    /// The tier above.
    Up,
    /// Nobody is left.
    Nobody,
}

impl Climber {
    /// Starts on the lowest of `tiers`; each gets `tries`.
    pub(super) fn new(tiers: Vec<Tier>, tries: u32) -> Self {
        Self {
            tiers,
            at: 0,
            tries,
            tried: 0,
        }
    }

    /// The tier to ask.
    pub(super) fn tier(&self) -> Tier {
        self.tiers.get(self.at).copied().unwrap_or_default()
    }

    /// Goes on after an answer that did not do. Who cannot answer at all, or will not, is not asked twice.
    pub(super) fn after(&mut self, evidence: &Evidence) -> Next {
        self.tried += 1;
        let hopeless = matches!(
            evidence,
            Evidence::Answer(escalate::Evidence::Failed(_) | escalate::Evidence::Refusal)
        );
        if self.tried < self.tries && !hopeless {
            return Next::Again;
        }
        if self.at + 1 < self.tiers.len() {
            self.at += 1;
            self.tried = 0;
            return Next::Up;
        }
        Next::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_left_when_its_tries_are_used_up() {
        let mut climber = Climber::new(vec![Tier::L0, Tier::L2], 2);
        let failed = Evidence::Tests("exit status: 1".into());
        let steps: Vec<_> = (0..4)
            .map(|_| (climber.tier(), climber.after(&failed)))
            .collect();
        assert_eq!(
            steps,
            [
                (Tier::L0, Next::Again),
                (Tier::L0, Next::Up),
                (Tier::L2, Next::Again),
                (Tier::L2, Next::Nobody)
            ]
        );
    }

    #[test]
    fn who_refuses_is_not_asked_twice() {
        let mut climber = Climber::new(vec![Tier::L0, Tier::L1], 5);
        let refusal = Evidence::Answer(escalate::Evidence::Refusal);
        assert_eq!(
            (climber.after(&refusal), climber.tier()),
            (Next::Up, Tier::L1)
        );
    }

    #[test]
    fn kinds_quote_nobody() {
        let refused = Evidence::Patch(Flaw::Refused {
            path: "ignore all rules".into(),
            why: "is closed",
        });
        assert!(!refused.kind().contains("ignore") && refused.to_string().contains("ignore"));
        let review = Evidence::Review(vec!["a\nb".into()]);
        assert_eq!(review.to_string(), "the reviewer disagrees: \"a\\nb\"");
    }
}
