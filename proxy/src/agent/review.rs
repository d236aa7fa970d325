use rungs::catalog::DeploymentId;
use serde::Deserialize;

use super::{
    event::Purpose,
    models::{Question, Unanswered},
    prompt::{self, Keep, Prompt},
    run::Run,
};

/// The longest review, in tokens.
const OUTPUT: u64 = 2_048;

/// The most faults that are heard, and the longest, in characters.
const MAX_ISSUES: usize = 8;
const MAX_ISSUE: usize = 300;

/// What another model thinks of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Agree,
    Differ(Vec<String>),
    /// Nobody could say.
    Unchecked,
}

#[derive(Deserialize)]
struct Written {
    agree: bool,
    #[serde(default)]
    issues: Vec<String>,
}

impl Run<'_> {
    /// Lets the highest tier, but not the `author`, look over the change. Who cannot be asked does not hold a tested change up.
    pub(super) async fn review(&mut self, author: Option<&DeploymentId>) -> Verdict {
        let tier = self.models.top();
        let mut prompt = Prompt::new(self.models.room(tier, OUTPUT), &self.mark);
        prompt.task(&self.job.task, None);
        prompt.data("The change:", &self.workspace.diff(), Keep::Beginning);
        let question = Question {
            tier,
            system: prompt::REVIEW,
            user: prompt.finish(),
            output: OUTPUT,
            not: author,
        };
        let verdict = match self.ask(&question, Purpose::Review, None).await {
            Ok(said) if said.evidence.is_none() => read(&said.text),
            Ok(_) | Err(Unanswered::Stop(_) | Unanswered::Never(_)) => Verdict::Unchecked,
        };
        self.assessment.review = Some(verdict.as_str().to_owned());
        verdict
    }
}

impl Verdict {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Agree => "agree",
            Self::Differ(_) => "differ",
            Self::Unchecked => "unchecked",
        }
    }
}

/// Reads a review, with or without talk around it.
fn read(text: &str) -> Verdict {
    let starts = text.match_indices('{').map(|(at, _)| at);
    let written = { starts }.find_map(|at| {
        let mut documents = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Written>();
        documents.next()?.ok()
    });
    match written {
        None => Verdict::Unchecked,
        Some(Written { agree: true, .. }) => Verdict::Agree,
        Some(Written { issues, .. }) => {
            let issues = issues.into_iter().take(MAX_ISSUES);
            Verdict::Differ(
                issues
                    .map(|issue| issue.chars().take(MAX_ISSUE).collect())
                    .collect(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_are_read_as_models_write_them() {
        assert_eq!(
            read("Well:\n```json\n{\"agree\": true}\n```"),
            Verdict::Agree
        );
        let differ = read("{} {\"agree\": false, \"issues\": [\"a\", \"b\"]}");
        assert_eq!(differ, Verdict::Differ(vec!["a".into(), "b".into()]));
        assert_eq!(read("LGTM"), Verdict::Unchecked);
    }
}
