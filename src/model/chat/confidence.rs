use serde::Deserialize;
use serde_json::value::RawValue;

/// What servers write, for want of minus infinity, where they do not know how probable a token was. No token that a model chose is
/// as improbable.
const UNKNOWN: f64 = -1000.0;

/// How sure a model was: the log probabilities of an answer, as far as they have arrived and are known.
#[derive(Debug, Default)]
pub(crate) struct Confidence {
    sum: f64,
    tokens: u32,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Token {
    logprob: Option<f64>,
}

impl Confidence {
    /// Adds a choice's `logprobs`. What cannot be read says nothing about confidence, and nothing against the answer.
    pub(crate) fn add(&mut self, logprobs: &RawValue) {
        let read: Option<Logprobs> = serde_json::from_str(logprobs.get()).unwrap_or_default();
        let tokens = read.and_then(|l| l.content).into_iter().flatten();
        for logprob in tokens.filter_map(|t| t.logprob).filter(|l| *l > UNKNOWN) {
            self.sum += logprob;
            self.tokens += 1;
        }
    }

    /// The mean per token, of `least` tokens or more.
    pub(crate) fn mean(&self, least: u32) -> Option<f64> {
        (self.tokens >= least.max(1)).then(|| self.sum / f64::from(self.tokens))
    }
}
