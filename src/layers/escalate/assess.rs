use std::sync::Arc;

use super::{
    EscalateConfig, Evidence, Judge, Judgement,
    window::{Held, Window},
};
use crate::{
    error::Error,
    model::{Collected, ModelBody, ModelRequest, chat::Answer},
};

/// Reads answers to one request, as far as they may be held, and judges them.
pub(super) struct Assessor {
    pub(super) request: ModelRequest,
    pub(super) judge: Arc<dyn Judge>,
    pub(super) config: EscalateConfig,
}

/// A judged answer. Its body is still to be read.
pub(super) enum Assessed {
    Sound(ModelBody),
    Flawed(ModelBody, Answer, Vec<Evidence>),
}

impl Assessor {
    /// Judges the answer in `body`; a stream only if something can be done about it.
    ///
    /// # Errors
    /// The answer's own. None of it has been passed on.
    pub(super) async fn assess(&self, body: ModelBody, may_climb: bool) -> Result<Assessed, Error> {
        let held = if body.is_whole() || !self.request.wants_stream() {
            self.collect(body).await?
        } else {
            match Window::of(self.config.on_stream, self.config.answer_limit) {
                Some(window) if may_climb => {
                    let glimpse = |so_far: &_| self.judge.glimpse(&self.request, so_far);
                    window.hold(body, glimpse).await?
                }
                _ => Held::Committed(body),
            }
        };
        match held {
            Held::Complete(collected) => self.judge_whole(collected),
            Held::Committed(body) => Ok(Assessed::Sound(body)),
            Held::Rejected(body, answer, evidence) => Ok(Assessed::Flawed(body, answer, evidence)),
        }
    }

    async fn collect(&self, body: ModelBody) -> Result<Held, Error> {
        // What is in memory already is no smaller for being refused.
        let limit = if body.is_whole() {
            usize::MAX
        } else {
            self.config.answer_limit
        };
        let collected = body.collect(limit).await?;
        let size: usize = collected.data.iter().map(|data| data.len()).sum();
        Ok(if size > self.config.answer_limit {
            Held::Committed(collected.into_body())
        } else {
            Held::Complete(collected)
        })
    }

    fn judge_whole(&self, collected: Collected) -> Result<Assessed, Error> {
        let read = collected.to_whole().and_then(|whole| Answer::parse(&whole));
        let form = !self.request.wants_stream();
        // An answer that cannot be read cannot change its form either.
        let body = if read.is_ok() {
            collected.into_form(form)?
        } else {
            collected
        }
        .into_body();
        Ok(match read {
            Err(_) => Assessed::Flawed(body, Answer::default(), vec![Evidence::Unreadable]),
            Ok(answer) => match self.judge.judge(&self.request, &answer) {
                Judgement::Accept => Assessed::Sound(body),
                Judgement::Climb(evidence) => Assessed::Flawed(body, answer, evidence),
            },
        })
    }
}
