use std::fmt;

use crate::store::{ConversationKey, plain::escape};

/// What of a conversation is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HotKind {
    /// Its newest messages.
    Messages,
    /// Its newest summary.
    Summary,
    /// Its todo list.
    Todos,
}

/// The name of a copy, such as `conv:messages:{acme/order-7}`.
///
/// In braces stand the tenant and its name for the conversation, each with `%` codes for all but letters, digits and `-_.~`: two
/// conversations never share a name. In a cluster the braces keep all copies of a conversation on one node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HotKey(String);

impl HotKey {
    /// The name of this copy.
    #[must_use]
    pub fn new(kind: HotKind, key: &ConversationKey) -> Self {
        let mut name = String::from(match kind {
            HotKind::Messages => "conv:messages:{",
            HotKind::Summary => "conv:summary:{",
            HotKind::Todos => "todo:list:{",
        });
        escape(&mut name, key.tenant());
        name.push('/');
        escape(&mut name, key.id());
        name.push('}');
        Self(name)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
