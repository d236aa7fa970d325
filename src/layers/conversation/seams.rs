use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

/// How few and how many messages a summary leaves whole, where calls of tools allow it.
const FEWEST: usize = 5;
const MOST: usize = 10;

/// Where a list of messages may be parted: nowhere between a call of a tool and its result.
pub(super) struct Seams {
    /// Whether a part may begin at a message.
    safe: Vec<bool>,
}

#[derive(Default, Deserialize)]
struct View<'a> {
    #[serde(default, borrow)]
    role: Cow<'a, str>,
    #[serde(default, borrow)]
    tool_call_id: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(default, borrow)]
    id: Option<Cow<'a, str>>,
}

impl Seams {
    pub(super) fn of<'a>(messages: impl IntoIterator<Item = &'a RawValue>) -> Self {
        let mut safe = Vec::new();
        let mut called: HashMap<Cow<'a, str>, usize> = HashMap::new();
        for (at, message) in messages.into_iter().enumerate() {
            let message: View<'a> = serde_json::from_str(message.get()).unwrap_or_default();
            safe.push(true);
            if matches!(&*message.role, "tool" | "function") {
                // A result without a call that can be found belongs to what stands before it.
                let call = message.tool_call_id.and_then(|id| called.get(&id).copied());
                let call = call.unwrap_or_else(|| at.saturating_sub(1));
                safe[(call + 1).min(at)..].fill(false);
            }
            let calls = message.tool_calls.into_iter().flatten();
            called.extend(calls.filter_map(|call| Some((call.id?, at))));
        }
        Self { safe }
    }

    /// The first seam at `from` or behind it; the end, if there is none.
    pub(super) fn at_or_behind(&self, from: usize) -> usize {
        let len = self.safe.len();
        (from..len).find(|at| self.safe[*at]).unwrap_or(len)
    }

    /// Where the last messages begin that stay whole: about `keep` of them, 5 to 10, more where there is no other seam. `None` if
    /// nothing would stand before them.
    pub(super) fn last(&self, keep: usize) -> Option<usize> {
        let len = self.safe.len();
        let place = |kept: usize| len.checked_sub(kept);
        let keep = keep.clamp(FEWEST, MOST);
        let more = keep..=MOST;
        let fewer = (FEWEST..keep).rev();
        let beyond = MOST + 1..len;
        let mut places = more.chain(fewer).chain(beyond).filter_map(place);
        places.find(|at| *at > 0 && self.safe[*at])
    }
}
