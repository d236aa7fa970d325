//! Answers as bytes: a head in JSON, which says what the payloads behind it are.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind},
    model::{Collected, End, FinishReason, Usage},
    store::{KeptOutcome, Question, said::Said},
};

#[cfg(any(feature = "redis", test))]
use crate::store::{CacheEntry, Remarks};

/// The form of what is written here. Anything else is not read.
const VERSION: u8 = 2;

/// A call that was carried out.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// What was asked, where nobody else keeps it: it was so once.
    #[serde(skip_serializing)]
    question: Option<Question>,
    deployment: Option<String>,
    said: Said,
    answer: Option<Answer>,
    error: Option<Failure>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    whole: bool,
    /// The lengths of the payloads.
    data: Vec<usize>,
    usage: Option<Usage>,
    finish: Option<Finish>,
    usage_chunk: Option<usize>,
}

#[derive(Serialize, Deserialize)]
struct Failure {
    kind: String,
    message: String,
    param: Option<String>,
    asked: Option<(String, String)>,
    status: Option<u16>,
}

#[derive(Serialize, Deserialize)]
enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    Other,
}

/// An answer of the cache.
#[cfg(any(feature = "redis", test))]
pub(in crate::store) fn of_entry(entry: &CacheEntry) -> Option<Vec<u8>> {
    let remarks = Remarks {
        verdict: entry.verdict.clone(),
        ..Remarks::default()
    };
    let head = Head {
        deployment: Some(entry.deployment.as_str().to_owned()),
        said: Said::of(&remarks),
        answer: Some(Answer::of(&entry.answer)),
        ..Head::default()
    };
    write(&head, Some(&entry.answer))
}

/// The answer again; `None` if it cannot be read.
#[cfg(any(feature = "redis", test))]
pub(in crate::store) fn entry(bytes: Bytes) -> Option<CacheEntry> {
    let (head, payloads) = read(bytes)?;
    Some(CacheEntry {
        deployment: head.deployment?.as_str().into(),
        verdict: head.said.remarks().verdict,
        answer: head.answer?.collect(payloads)?,
    })
}

/// What came of a call.
pub(in crate::store) fn of_outcome(outcome: &KeptOutcome) -> Option<Vec<u8>> {
    let mut head = Head::default();
    match outcome {
        KeptOutcome::Answer {
            deployment,
            remarks,
            answer,
        } => {
            head.said = Said::of(remarks);
            head.deployment = deployment.as_ref().map(|id| id.as_str().to_owned());
            head.answer = Some(Answer::of(answer));
            write(&head, Some(answer))
        }
        KeptOutcome::Failed(error) => {
            head.error = Some(Failure::of(error));
            write(&head, None)
        }
    }
}

/// What came of it again, with what was asked if that is there too; `None` if it cannot be read.
pub(in crate::store) fn outcome(bytes: Bytes) -> Option<(KeptOutcome, Option<Question>)> {
    let (head, payloads) = read(bytes)?;
    let outcome = match (head.answer, head.error) {
        (Some(answer), None) => KeptOutcome::Answer {
            deployment: head.deployment.map(|id| id.as_str().into()),
            remarks: head.said.remarks(),
            answer: answer.collect(payloads)?,
        },
        (None, Some(failure)) => KeptOutcome::Failed(failure.error()?),
        _ => return None,
    };
    Some((outcome, head.question))
}

fn write(head: &Head, answer: Option<&Collected>) -> Option<Vec<u8>> {
    let head = serde_json::to_vec(head).ok()?;
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    out.put_u32(u32::try_from(head.len()).ok()?);
    out.put_slice(&head);
    if let Some(answer) = answer {
        for payload in answer.data.iter().chain(&answer.end.usage_chunk) {
            out.put_slice(payload);
        }
    }
    Some(out.into())
}

fn read(mut bytes: Bytes) -> Option<(Head, Bytes)> {
    const FRONT: usize = 5;
    let [version, length @ ..] = *bytes.first_chunk::<FRONT>()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    if version != VERSION || bytes.len() - FRONT < length {
        return None;
    }
    let payloads = bytes.split_off(FRONT + length);
    let head = serde_json::from_slice(&bytes[FRONT..]).ok()?;
    Some((head, payloads))
}

impl Answer {
    fn of(answer: &Collected) -> Self {
        let End {
            usage,
            finish,
            usage_chunk,
            // What it cost then is no matter: it costs nothing again.
            ..
        } = &answer.end;
        Self {
            whole: answer.whole,
            data: answer.data.iter().map(Bytes::len).collect(),
            usage: *usage,
            finish: finish.map(Finish::of),
            usage_chunk: usage_chunk.as_ref().map(Bytes::len),
        }
    }

    /// The answer with its payloads, which must be all there is.
    fn collect(self, mut payloads: Bytes) -> Option<Collected> {
        let mut next =
            |length: usize| (length <= payloads.len()).then(|| payloads.split_to(length));
        let data = self
            .data
            .into_iter()
            .map(&mut next)
            .collect::<Option<_>>()?;
        let usage_chunk = match self.usage_chunk {
            Some(length) => Some(next(length)?),
            None => None,
        };
        payloads.is_empty().then_some(Collected {
            whole: self.whole,
            data,
            end: End {
                usage: self.usage,
                finish: self.finish.map(Finish::reason),
                usage_chunk,
                ..End::default()
            },
        })
    }
}

impl Finish {
    fn of(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop => Self::Stop,
            FinishReason::Length => Self::Length,
            FinishReason::ToolCalls => Self::ToolCalls,
            FinishReason::ContentFilter => Self::ContentFilter,
            FinishReason::Other => Self::Other,
        }
    }

    fn reason(self) -> FinishReason {
        match self {
            Self::Stop => FinishReason::Stop,
            Self::Length => FinishReason::Length,
            Self::ToolCalls => FinishReason::ToolCalls,
            Self::ContentFilter => FinishReason::ContentFilter,
            Self::Other => FinishReason::Other,
        }
    }
}

impl Failure {
    fn of(error: &Error) -> Self {
        let asked = error.provider().zip(error.model());
        Self {
            kind: error.kind().as_str().to_owned(),
            message: error.message().to_owned(),
            param: error.get_param().map(str::to_owned),
            asked: asked.map(|(provider, model)| (provider.to_owned(), model.to_owned())),
            status: error.get_upstream_status().map(|status| status.as_u16()),
        }
    }

    fn error(self) -> Option<Error> {
        let kind = ErrorKind::of_name(&self.kind)?;
        let mut error = Error::new(kind, self.message);
        if let Some(param) = self.param {
            error = error.param(param);
        }
        if let Some((provider, model)) = self.asked {
            error = error.asked(provider.into(), model.into());
        }
        if let Some(status) = self.status {
            error = error.upstream_status(http::StatusCode::from_u16(status).ok()?);
        }
        Some(error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        catalog::Money,
        model::{Agreement, Verdict},
    };

    fn answers() -> impl Strategy<Value = Collected> {
        let payload = proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        let payloads = proptest::collection::vec(payload.clone(), 0..5);
        (
            payloads,
            proptest::option::of(payload),
            any::<bool>(),
            any::<u64>(),
        )
            .prop_map(|(data, usage_chunk, whole, tokens)| Collected {
                whole,
                data,
                end: End {
                    usage: (tokens % 2 == 0).then(|| Usage::new(tokens, 7)),
                    finish: (tokens % 3 == 0).then_some(FinishReason::ToolCalls),
                    usage_chunk,
                    ..End::default()
                },
            })
    }

    fn remarks() -> impl Strategy<Value = Remarks> {
        let notes = proptest::collection::vec(".{0,20}", 0..3);
        let agreement = prop_oneof![
            Just(Agreement::Agree),
            Just(Agreement::Unchecked),
            proptest::collection::vec(".{0,20}", 0..3).prop_map(Agreement::Differ),
        ];
        let verdict =
            (agreement, any::<u8>(), any::<i64>()).prop_map(|(agreement, confidence, cost)| {
                Verdict {
                    agreement,
                    confidence,
                    reviewers: vec!["p/r".into(), "q/s".into()],
                    cost: Money::from_nanos(cost),
                }
            });
        let flags = any::<(bool, bool)>();
        (flags, proptest::option::of(verdict), notes).prop_map(
            |((fallback, forgetful), verdict, notes)| Remarks {
                fallback,
                forgetful,
                verdict,
                notes: notes.into_iter().map(Into::into).collect(),
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(
            answer in answers(),
            remarks in remarks(),
        ) {
            let cached = CacheEntry {
                deployment: "p/m".into(),
                verdict: remarks.verdict.clone(),
                answer: answer.clone(),
            };
            let again = entry(of_entry(&cached).unwrap().into()).unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{cached:?}"));
            let outcome = KeptOutcome::Answer { deployment: Some("p/m".into()), remarks, answer };
            let again = super::outcome(of_outcome(&outcome).unwrap().into()).unwrap().0;
            prop_assert_eq!(format!("{again:?}"), format!("{outcome:?}"));
        }

        #[test]
        fn damaged_bytes_are_no_answer_and_no_panic(answer in answers(), at: usize, with: u8) {
            let cached = CacheEntry { deployment: "p/m".into(), verdict: None, answer };
            let whole = of_entry(&cached).unwrap();
            let at = at % whole.len();
            prop_assert!(entry(whole[..at].to_vec().into()).is_none());
            let mut changed = whole;
            changed[at] = with;
            let _ = entry(changed.clone().into());
            let _ = outcome(changed.into());
        }

        #[test]
        fn foreign_bytes_are_no_answer(bytes: Vec<u8>) {
            prop_assert!(entry(bytes.clone().into()).is_none() && outcome(bytes.into()).is_none());
        }
    }

    #[test]
    fn errors_are_read_again() {
        let error = Error::new(ErrorKind::Cut, "it stopped")
            .asked("p".into(), "m".into())
            .upstream_status(http::StatusCode::BAD_GATEWAY)
            .param("stream");
        let kept = KeptOutcome::Failed(error);
        let again = outcome(of_outcome(&kept).unwrap().into()).unwrap().0;
        assert_eq!(format!("{again:?}"), format!("{kept:?}"));
    }
}
