use std::time::SystemTime;

use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use super::{ConversationConfig, prompt, seams::Seams};
use crate::{
    error::{Error, ErrorKind},
    model::{
        BoxModelService, CacheUse, Call, CallContext, FinishReason, ModelRequest, RouteHint,
        chat::Answer,
    },
    store::{ConversationKey, ConversationStore, Memory, Summary},
};

/// The most messages that one summary takes in; what is more waits for the next.
const MOST: usize = 400;

/// The largest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 1 << 20;

/// Attempts at one summary, retries and fallbacks together.
const ATTEMPTS: u32 = 2;

/// What it takes to summarize a conversation.
pub(super) struct Compression {
    pub(super) summarizer: BoxModelService,
    pub(super) config: ConversationConfig,
    /// The call that made the conversation long: its accounts pay, and nobody is asked that it could not have asked.
    pub(super) cause: ModelRequest,
}

/// What came of it.
pub(super) enum Compressed {
    /// A summary up to this message.
    To(u64),
    /// Nothing, and nothing was wrong.
    Nothing,
}

impl Compression {
    /// Whether so much has no summary that it is time for one.
    pub(super) fn is_due(&self, memory: &Memory) -> bool {
        let messages = memory.count.saturating_sub(memory.summarized());
        let bytes: usize = memory.fresh().map(|m| m.message.get().len()).sum();
        messages > self.config.window as u64 || bytes > self.config.window_bytes
    }

    /// Summarizes all but the last messages, and what stood for those before.
    pub(super) async fn run(
        self,
        store: &dyn ConversationStore,
        key: &ConversationKey,
    ) -> Result<Compressed, Error> {
        let Some(memory) = store.load(key).await? else {
            return Ok(Compressed::Nothing);
        };
        let messages = store.read(key, memory.summarized(), MOST).await?;
        let seams = Seams::of(messages.iter().map(|m| &*m.message));
        let Some(older) = seams.last(self.config.keep).map(|at| &messages[..at]) else {
            return Ok(Compressed::Nothing);
        };
        let Some(last) = older.last() else {
            return Ok(Compressed::Nothing);
        };
        let before = memory.summary.as_ref().map(|summary| &*summary.text);
        let raw = older.iter().map(|m| &*m.message);
        let tokens = self.config.summary_tokens;
        let body = prompt::summarize(&self.cause.body, before, raw, tokens)?;
        let summary = Summary {
            up_to: last.number,
            at: SystemTime::now(),
            ..self.ask(body).await?
        };
        match store.summarize(key, &summary, &last.request).await? {
            true => Ok(Compressed::To(summary.up_to)),
            false => Ok(Compressed::Nothing),
        }
    }

    async fn ask(self, body: crate::json::RawObject) -> Result<Summary, Error> {
        let time = self.config.summary_time;
        let call = Call {
            key: self.cause.ctx.key.clone(),
            user: self.cause.ctx.user.clone(),
            conversation: self.cause.ctx.conversation.clone(),
            accounts: self.cause.ctx.accounts.clone(),
            on_exhaust: self.cause.ctx.on_exhaust,
            deadline: Some(Instant::now() + time),
            max_attempts: ATTEMPTS,
            ..Call::new(self.cause.ctx.tenant.clone())
        };
        let request = ModelRequest {
            own_limit: true,
            cache: CacheUse::Bypass,
            route: cheapest(&self.cause.route),
            ..ModelRequest::chat(body, CallContext::new(call))
        };
        let answering = async {
            let answer = self.summarizer.oneshot(request).await?;
            let deployment = answer.meta.deployment.map(|d| d.id.clone());
            let answer = answer.body.collect(ANSWER_LIMIT).await?;
            Ok((deployment, Answer::parse(&answer.to_whole()?)?))
        };
        let too_late = |_| Err(Error::new(ErrorKind::Timeout, "the summary took too long"));
        let (deployment, answer) = timeout(time, answering).await.unwrap_or_else(too_late)?;
        Ok(Summary {
            up_to: 0,
            text: self.config.usable(answer)?,
            deployment,
            at: SystemTime::UNIX_EPOCH,
        })
    }
}

impl ConversationConfig {
    /// The text of a summary.
    ///
    /// # Errors
    /// If the answer is none: it must be finished, and say something.
    fn usable(&self, answer: Answer) -> Result<String, Error> {
        let finished = match answer.finish {
            None | Some(FinishReason::Stop) => true,
            Some(FinishReason::Length) => {
                let what = format!(
                    "the summary did not end within {} tokens",
                    self.summary_tokens
                );
                return Err(Error::new(ErrorKind::Upstream, what).conclusive());
            }
            Some(_) => false,
        };
        let mut text = answer.text.trim().to_owned();
        if !finished || answer.refusal.is_some() || text.is_empty() {
            return Err(Error::new(
                ErrorKind::Upstream,
                "the model wrote no summary",
            ));
        }
        text.truncate(text.floor_char_boundary(self.summary_limit));
        Ok(text)
    }
}

/// The lowest tier that a call may ask.
fn cheapest(route: &RouteHint) -> RouteHint {
    let allowed = |tier: &_| (route.min_tier..=route.max_tier).contains(tier);
    let mut route = route.clone();
    if let Some(lowest) = route.targets.tiers().find(allowed) {
        route.min_tier = lowest;
        route.max_tier = lowest;
    }
    route
}
