use std::{borrow::Cow, fmt};

use crate::{
    error::{Error, ErrorKind, Retry},
    model::{ModelRequest, chat::Answer},
};

/// Says whether an answer will do. Judges are pure: the same request and answer always get the same judgement.
///
/// A closure over request and answer is a judge too, and judges compose:
///
/// ```
/// use rungs::layers::escalate::{Evidence, Judge, Judgement, StandardJudge};
/// use rungs::model::{ModelRequest, chat::Answer};
///
/// let judge = StandardJudge::new().and(|_: &ModelRequest, answer: &Answer| {
///     if answer.text.contains("TODO") {
///         Judgement::Climb(vec![Evidence::Other("it leaves work undone".into())])
///     } else {
///         Judgement::Accept
///     }
/// });
/// # let _: &dyn Judge = &judge;
/// ```
pub trait Judge: Send + Sync {
    /// Judges a complete answer.
    fn judge(&self, request: &ModelRequest, answer: &Answer) -> Judgement;

    /// Judges the beginning of a streamed answer: only what no continuation can mend is evidence.
    ///
    /// Accepts by default. Nobody judges the rest once the stream has been passed on.
    fn glimpse(&self, request: &ModelRequest, so_far: &Answer) -> Judgement {
        let _ = (request, so_far);
        Judgement::Accept
    }

    /// Judges a failure. By default it is worth a climb if another deployment may answer; a spent budget is not, because the
    /// next tier costs more.
    fn failed(&self, request: &ModelRequest, error: &Error) -> Judgement {
        let _ = request;
        match error.kind() {
            ErrorKind::Budget => Judgement::Accept,
            _ if error.retry() == Retry::Never => Judgement::Accept,
            kind => Judgement::Climb(vec![Evidence::Failed(kind)]),
        }
    }

    /// Both judges: what either finds is evidence.
    fn and<J: Judge>(self, other: J) -> And<Self, J>
    where
        Self: Sized,
    {
        And(self, other)
    }
}

/// What a [`Judge`] says.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// It will do.
    Accept,
    /// Somebody better should answer, and this is why.
    Climb(Vec<Evidence>),
}

impl Judgement {
    /// What was found: nothing, if the answer will do.
    #[must_use]
    pub fn into_evidence(self) -> Vec<Evidence> {
        match self {
            Self::Accept => Vec::new(),
            Self::Climb(evidence) => evidence,
        }
    }
}

impl FromIterator<Evidence> for Judgement {
    fn from_iter<I: IntoIterator<Item = Evidence>>(found: I) -> Self {
        let found: Vec<_> = found.into_iter().collect();
        if found.is_empty() {
            Self::Accept
        } else {
            Self::Climb(found)
        }
    }
}

/// One thing that is wrong with an answer. `Display` is safe to show a client and to log: it quotes no answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Evidence {
    /// There is no answer.
    Failed(ErrorKind),
    /// The answer is no chat completion.
    Unreadable,
    /// The model would not answer.
    Refusal,
    /// Neither text nor a tool call.
    Empty,
    /// The model ran into its output limit, and the client had set none.
    Truncated,
    /// JSON was asked for, and this is none.
    InvalidJson,
    /// The JSON breaks the schema that was asked for, here.
    OffSchema(String),
    /// A tool call that cannot be carried out, for this reason.
    BadToolCall(String),
    /// The model was unsure: the mean log probability per token.
    LowConfidence(f64),
    /// What somebody's own judge found.
    Other(Cow<'static, str>),
}

impl Evidence {
    /// How much of a flawed answer is still of use, to choose among drafts when no better answer can be had.
    pub(super) fn worth(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Unreadable | Self::Empty => 0,
            Self::Refusal | Self::BadToolCall(_) => 1,
            Self::InvalidJson => 2,
            Self::OffSchema(_) | Self::Truncated => 3,
            Self::LowConfidence(_) | Self::Other(_) => 4,
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(kind) => write!(f, "it failed ({})", kind.as_str()),
            Self::Unreadable => f.write_str("the answer cannot be read"),
            Self::Refusal => f.write_str("the answer is a refusal"),
            Self::Empty => f.write_str("the answer is empty"),
            Self::Truncated => f.write_str("the answer is cut off at its output limit"),
            Self::InvalidJson => f.write_str("JSON was asked for and the answer is not valid JSON"),
            Self::OffSchema(at) => write!(f, "the answer breaks the requested schema: {at}"),
            Self::BadToolCall(why) => write!(f, "a tool call cannot be carried out: {why}"),
            Self::LowConfidence(mean) => write!(f, "low confidence (mean logprob {mean:.2})"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl<F> Judge for F
where
    F: Fn(&ModelRequest, &Answer) -> Judgement + Send + Sync,
{
    fn judge(&self, request: &ModelRequest, answer: &Answer) -> Judgement {
        self(request, answer)
    }
}

/// Two judges, from [`Judge::and`].
#[derive(Debug, Clone, Copy)]
pub struct And<A, B>(A, B);

impl<A: Judge, B: Judge> Judge for And<A, B> {
    fn judge(&self, request: &ModelRequest, answer: &Answer) -> Judgement {
        both(self.0.judge(request, answer), self.1.judge(request, answer))
    }

    fn glimpse(&self, request: &ModelRequest, so_far: &Answer) -> Judgement {
        let first = self.0.glimpse(request, so_far);
        both(first, self.1.glimpse(request, so_far))
    }

    fn failed(&self, request: &ModelRequest, error: &Error) -> Judgement {
        let mut found = self.0.failed(request, error).into_evidence();
        for more in self.1.failed(request, error).into_evidence() {
            if !found.contains(&more) {
                found.push(more);
            }
        }
        found.into_iter().collect()
    }
}

fn both(first: Judgement, second: Judgement) -> Judgement {
    let second = second.into_evidence();
    first.into_evidence().into_iter().chain(second).collect()
}
