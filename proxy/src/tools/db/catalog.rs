//! Names of tables and columns. They come from a model, so they are looked up in the catalog, and what goes into a statement is the
//! catalog's own spelling, in quotes.

use rungs::{Error, ErrorKind};

use super::Row;

/// A table as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// The columns of its primary key.
    pub(super) key: Vec<String>,
}

impl Table {
    /// Checks that each member of `row` is a column, and that there is one.
    pub(super) fn has(&self, row: &Row, what: &'static str) -> Result<(), Error> {
        if row.is_empty() {
            return Err(Error::invalid(format!("`{what}` is empty")).param(what));
        }
        match row.keys().find(|name| !self.columns.contains(name)) {
            None => Ok(()),
            Some(_) => {
                let columns = self.columns.join(", ");
                let why = format!(
                    "`{what}` names a column that there is not; `{}` has {columns}",
                    self.name
                );
                Err(Error::invalid(why).param(what))
            }
        }
    }

    /// Checks that `key` has a value for each column of the primary key, and nothing else.
    pub(super) fn is_key(&self, key: &Row) -> Result<(), Error> {
        let whole = !self.key.is_empty() && self.key.len() == key.len();
        if whole
            && self
                .key
                .iter()
                .all(|column| key.get(column).is_some_and(|value| !value.is_null()))
        {
            return Ok(());
        }
        let why = match self.key.is_empty() {
            true => format!(
                "`{}` has no primary key: rows cannot be told apart",
                self.name
            ),
            false => format!(
                "`key` has a value for each of {}, and nothing else",
                self.key.join(", ")
            ),
        };
        Err(Error::invalid(why).param("key"))
    }
}

pub(super) fn no_table(known: &[String]) -> Error {
    let why = match known {
        [] => "there is no table".to_owned(),
        known => format!("there is no such table; there is {}", known.join(", ")),
    };
    Error::new(ErrorKind::NotFound, why).param("table")
}

/// A name in quotes, as both databases understand it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names in quotes, separated by commas.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names
        .into_iter()
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quoted_name_never_ends_early(name in "\\PC{0,20}|[\"'; \\-]{0,10}") {
            let quoted = quoted(&name);
            let inner = &quoted[1..quoted.len() - 1];
            prop_assert_eq!(inner.replace("\"\"", ""), name.replace('"', ""));
            prop_assert_eq!(inner.matches('"').count(), 2 * name.matches('"').count());
        }
    }
}
