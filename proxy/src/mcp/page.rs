//! Long lists are told in pages.

use rmcp::{ErrorData, model::PaginatedRequestParams};

/// Items of a page.
const SIZE: usize = 50;

/// A part of a list, and the cursor of the next part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

impl<T: Clone> Page<T> {
    /// The page of `all` that the client asks for.
    ///
    /// # Errors
    /// Invalid parameters, for a cursor that was not given out.
    pub(super) fn of(all: &[T], asked: Option<&PaginatedRequestParams>) -> Result<Self, ErrorData> {
        Self::sized(all, asked.and_then(|asked| asked.cursor.as_deref()), SIZE)
    }

    fn sized(all: &[T], cursor: Option<&str>, size: usize) -> Result<Self, ErrorData> {
        let wrong = || ErrorData::invalid_params("the cursor is none of this list", None);
        let start = match cursor {
            None => 0,
            Some(cursor) => cursor.parse().map_err(|_| wrong())?,
        };
        if start > 0 && (start >= all.len() || start % size != 0) {
            return Err(wrong());
        }
        let end = all.len().min(start + size);
        Ok(Self {
            items: all[start..end].to_vec(),
            next: (end < all.len()).then(|| end.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_are_the_list() {
        for count in 0..20_usize {
            let all: Vec<usize> = (0..count).collect();
            for size in 1..8 {
                let (mut seen, mut cursor) = (Vec::new(), None);
                loop {
                    let page = Page::sized(&all, cursor.as_deref(), size).unwrap();
                    assert!(page.items.len() <= size);
                    seen.extend(page.items);
                    cursor = page.next;
                    if cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, all, "{size}");
            }
        }
    }

    #[test]
    fn a_cursor_that_was_not_given_out_is_refused() {
        let all = [1, 2, 3, 4, 5];
        for cursor in ["", "x", "-2", "1", "6", "4 ", "99999999999999999999"] {
            assert!(Page::sized(&all, Some(cursor), 2).is_err(), "{cursor}");
        }
        assert_eq!(Page::sized(&all, Some("4"), 2).unwrap().items, [5]);
    }
}
