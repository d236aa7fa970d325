use std::collections::BTreeSet;

use rmcp::schemars::JsonSchema;
use rungs::store::{self, TodoItem};
use serde::{Deserialize, Serialize};

use super::path::RelPath;

/// The most parts that a plan is believed to need, and the most files that one part begins with.
const MAX_TODOS: usize = 8;
const MAX_FILES: usize = 12;

/// The longest title, in characters.
const MAX_TITLE: usize = 200;

/// One part of the work, in the original's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(crate) struct Todo {
    /// Counted from 1.
    pub(crate) id: usize,
    /// What is to be done.
    pub(crate) title: String,
    /// How far it is.
    pub(crate) status: TodoStatus,
    /// Files to look at first.
    pub(crate) files: Vec<String>,
}

/// How far a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "snake_case")]
pub(crate) enum TodoStatus {
    /// Nothing was done.
    Pending,
    /// It is worked on.
    InProgress,
    /// Its change was kept.
    Done,
    /// No model could do it.
    Failed,
}

/// What a model may write.
#[derive(Deserialize)]
struct Written {
    #[serde(alias = "plan", alias = "steps", alias = "items", alias = "tasks")]
    todos: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Title(String),
    Full {
        #[serde(
            alias = "task",
            alias = "content",
            alias = "description",
            alias = "text"
        )]
        title: String,
        #[serde(default)]
        files: Vec<String>,
    },
}

/// Reads a plan out of an answer: JSON with a list `todos`, or such a list, with or without talk and fences around it. Files that
/// `known` does not have are left out. `None` if there is no plan in it.
pub(super) fn parse(answer: &str, known: &BTreeSet<&RelPath>) -> Option<Vec<Todo>> {
    let items = answer
        .char_indices()
        .filter(|(_, c)| matches!(c, '{' | '['))
        .find_map(|(at, _)| items(&answer[at..]))?;
    let todos = items.into_iter().map(|item| match item {
        Item::Title(title) => (title, Vec::new()),
        Item::Full { title, files } => (title, files),
    });
    let todos = todos.filter_map(|(title, files)| {
        let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ");
        let title: String = title
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_TITLE)
            .collect();
        let files = files.iter().filter_map(|file| RelPath::parse(file).ok());
        let files = files.filter(|file| known.contains(file)).take(MAX_FILES);
        let files = files.map(|file| file.to_string()).collect();
        (!title.is_empty()).then_some((title, files))
    });
    let todos: Vec<Todo> = todos
        .take(MAX_TODOS)
        .zip(1..)
        .map(|((title, files), id)| Todo::new(id, title, files))
        .collect();
    (!todos.is_empty()).then_some(todos)
}

/// The list that begins here, if one does.
fn items(text: &str) -> Option<Vec<Item>> {
    let mut whole = serde_json::Deserializer::from_str(text).into_iter::<Written>();
    if let Some(Ok(written)) = whole.next() {
        return Some(written.todos);
    }
    let mut list = serde_json::Deserializer::from_str(text).into_iter::<Vec<Item>>();
    list.next()?.ok()
}

impl Todo {
    pub(super) fn new(id: usize, title: String, files: Vec<String>) -> Self {
        Self {
            id,
            title,
            status: TodoStatus::Pending,
            files,
        }
    }

    /// The same for the store, which knows no failure: what nobody could do is still to be done.
    pub(super) fn to_item(&self) -> TodoItem {
        TodoItem {
            id: u32::try_from(self.id).unwrap_or(u32::MAX),
            title: self.title.clone(),
            description: self.files.join(", "),
            status: match self.status {
                TodoStatus::Pending | TodoStatus::Failed => store::TodoStatus::NotStarted,
                TodoStatus::InProgress => store::TodoStatus::InProgress,
                TodoStatus::Done => store::TodoStatus::Completed,
            },
        }
    }

    /// Whether its change was kept.
    pub(super) fn is_done(&self) -> bool {
        self.status == TodoStatus::Done
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(answer: &str) -> Option<Vec<(String, Vec<String>)>> {
        let paths = ["src/a.rs", "b.py"].map(|p| RelPath::parse(p).unwrap());
        let todos = parse(answer, &paths.iter().collect())?;
        assert!(todos.iter().map(|todo| todo.id).eq(1..=todos.len()));
        Some(
            todos
                .into_iter()
                .map(|todo| (todo.title, todo.files))
                .collect(),
        )
    }

    #[test]
    fn plans_are_read_as_models_write_them() {
        let expected = Some(vec![("Fix it".to_owned(), vec!["src/a.rs".to_owned()])]);
        for answer in [
            r#"{"todos":[{"title":"Fix it","files":["src/a.rs"]}]}"#,
            "Here is [the] plan:\n```json\n{\"todos\": [{\"title\": \"Fix\\n it\", \"files\": [\"./src/a.rs\", \"../x\", \"none.rs\"]}]}\n```\nGood luck {}",
            r#"[{"task":"Fix it","files":["src/a.rs"],"why":3}]"#,
            r#"{"note": {"a": []}, "plan": [{"content":"Fix it","files":["src/a.rs"]}, ""]}"#,
        ] {
            assert_eq!(read(answer), expected, "{answer}");
        }
        assert_eq!(
            read(r#"{"steps": ["Do this"]}"#),
            Some(vec![("Do this".into(), vec![])])
        );
        for none in [
            "",
            "I would fix it.",
            "{\"todos\": []}",
            "[1, 2]",
            "{\"todos\": [{\"title\": ",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_bounded_plan_or_none(text in "(\\{|\\}|\\[|\\]|\"todos\":|\"title\":|\"x\"|,|\\PC){0,60}") {
            if let Some(todos) = read(&text) {
                prop_assert!(todos.len() <= MAX_TODOS);
            }
        }
    }
}
