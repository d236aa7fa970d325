use serde::{Deserialize, Serialize};

use crate::{
    catalog::Money,
    model::{Agreement, Verdict},
    store::Remarks,
};

/// What was said about an answer.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Said {
    fallback: bool,
    forgetful: bool,
    verdict: Option<Checked>,
    notes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Checked {
    agreement: Agreed,
    confidence: u8,
    reviewers: Vec<String>,
    cost_nanos: i64,
}

#[derive(Serialize, Deserialize)]
enum Agreed {
    Agree,
    Differ(Vec<String>),
    Unchecked,
}

impl Said {
    pub(super) fn of(remarks: &Remarks) -> Self {
        let Remarks {
            fallback,
            forgetful,
            verdict,
            notes,
        } = remarks;
        Self {
            fallback: *fallback,
            forgetful: *forgetful,
            verdict: verdict.as_ref().map(Checked::of),
            notes: notes.iter().map(|note| note.clone().into_owned()).collect(),
        }
    }

    pub(super) fn remarks(self) -> Remarks {
        Remarks {
            fallback: self.fallback,
            forgetful: self.forgetful,
            verdict: self.verdict.map(Checked::verdict),
            notes: self.notes.into_iter().map(Into::into).collect(),
        }
    }
}

impl Checked {
    fn of(verdict: &Verdict) -> Self {
        let reviewers = verdict.reviewers.iter();
        Self {
            agreement: match &verdict.agreement {
                Agreement::Agree => Agreed::Agree,
                Agreement::Differ(points) => Agreed::Differ(points.clone()),
                Agreement::Unchecked => Agreed::Unchecked,
            },
            confidence: verdict.confidence,
            reviewers: reviewers.map(|id| id.as_str().to_owned()).collect(),
            cost_nanos: verdict.cost.nanos(),
        }
    }

    fn verdict(self) -> Verdict {
        let reviewers = self.reviewers.iter();
        Verdict {
            agreement: match self.agreement {
                Agreed::Agree => Agreement::Agree,
                Agreed::Differ(points) => Agreement::Differ(points),
                Agreed::Unchecked => Agreement::Unchecked,
            },
            confidence: self.confidence,
            reviewers: reviewers.map(|id| id.as_str().into()).collect(),
            cost: Money::from_nanos(self.cost_nanos),
        }
    }
}
