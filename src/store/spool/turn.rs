//! Turns as records.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::store::{
    ConversationKey, Turn,
    plain::{millis, time},
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    tenant: Arc<str>,
    conversation: Arc<str>,
    request: Arc<str>,
    key: Option<Arc<str>>,
    user: Option<Arc<str>>,
    deployment: Option<Arc<str>>,
    messages: Arc<[Box<RawValue>]>,
    at_ms: i64,
}

impl Turn {
    /// This turn of a conversation, as bytes.
    pub(crate) fn to_record(&self, conversation: &ConversationKey) -> Vec<u8> {
        let record = Record {
            tenant: conversation.tenant().into(),
            conversation: conversation.id().into(),
            request: Arc::clone(&self.request),
            key: self.key.clone(),
            user: self.user.clone(),
            deployment: self.deployment.as_ref().map(|id| id.as_str().into()),
            messages: Arc::clone(&self.messages),
            at_ms: millis(self.at),
        };
        serde_json::to_vec(&record).expect("text and JSON are JSON")
    }

    /// The turn of these bytes, and its conversation; `None` if they are none.
    pub(crate) fn of_record(bytes: &[u8]) -> Option<(ConversationKey, Self)> {
        let record: Record = serde_json::from_slice(bytes).ok()?;
        let conversation = ConversationKey::new(record.tenant, record.conversation).ok()?;
        let turn = Self {
            request: record.request,
            key: record.key,
            user: record.user,
            deployment: record.deployment.map(|id| (&*id).into()),
            messages: record.messages,
            at: time(record.at_ms),
        };
        Some((conversation, turn))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_turn_is_read_as_it_was_written(text: String, key: Option<String>, n in 0..5_usize, at in 0..i64::MAX / 2) {
            let message = serde_json::value::to_raw_value(&serde_json::json!({ "content": text })).unwrap();
            let turn = Turn {
                request: "req_1".into(),
                key: key.map(Into::into),
                user: None,
                deployment: Some("p/m".into()),
                messages: vec![message; n].into(),
                at: time(at),
            };
            let conversation = ConversationKey::new("acme", "c").unwrap();
            let (read, again) = Turn::of_record(&turn.to_record(&conversation)).unwrap();
            prop_assert_eq!(read, conversation);
            prop_assert_eq!(format!("{again:?}"), format!("{turn:?}"));
        }

        #[test]
        fn what_is_no_turn_is_none(bytes: Vec<u8>) {
            prop_assert!(Turn::of_record(&bytes).is_none());
        }
    }
}
