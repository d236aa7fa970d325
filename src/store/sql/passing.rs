use sqlx::Error as SqlError;

/// Whether what failed may succeed another time, as it is. `passing` knows the codes of what the database itself answers.
pub(in crate::store) fn may_pass(error: &SqlError, passing: impl FnOnce(&str) -> bool) -> bool {
    match error {
        SqlError::Database(answer) => answer.code().is_none_or(|code| passing(&code)),
        // It has answered, with what is not understood; or was asked what it does not understand.
        SqlError::RowNotFound
        | SqlError::TypeNotFound { .. }
        | SqlError::ColumnNotFound(_)
        | SqlError::ColumnIndexOutOfBounds { .. }
        | SqlError::ColumnDecode { .. }
        | SqlError::Decode(_)
        | SqlError::Encode(_) => false,
        _ => true,
    }
}
