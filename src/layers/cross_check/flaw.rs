use std::{borrow::Cow, fmt, sync::Arc};

use crate::model::{FinishReason, ModelRequest, chat::Answer};

type Find = dyn Fn(&ModelRequest, &Answer) -> Option<String> + Send + Sync;

/// Says what makes an answer unfit to take the place of another.
#[derive(Clone, Default)]
pub(super) struct Flaws(Option<Arc<Find>>);

impl Flaws {
    /// Beside those that every answer shows, what `find` finds.
    pub(super) fn new(
        find: impl Fn(&ModelRequest, &Answer) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(find)))
    }

    /// Why `answer` cannot take the place of `other`; one flaw is as good as another, but for saying nothing.
    pub(super) fn against(
        &self,
        request: &ModelRequest,
        answer: &Answer,
        other: &Answer,
    ) -> Option<Cow<'static, str>> {
        let flaw = self.of(request, answer)?;
        (answer.is_empty() || self.of(request, other).is_none()).then_some(flaw)
    }

    fn of(&self, request: &ModelRequest, answer: &Answer) -> Option<Cow<'static, str>> {
        if answer.is_refusal() {
            Some("it is a refusal".into())
        } else if answer.is_empty() {
            Some("it says nothing".into())
        } else if answer.finish == Some(FinishReason::Length) {
            // Also by the client's own limit: the other answer kept to it.
            Some("it is cut off".into())
        } else {
            self.0.as_ref()?(request, answer).map(Into::into)
        }
    }
}

impl fmt::Debug for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.as_ref().map(|_| "judged");
        f.debug_tuple("Flaws").field(&name).finish()
    }
}
