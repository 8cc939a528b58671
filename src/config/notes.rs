//! What a note may hold and how clients write it.

use serde::{Deserialize, Serialize};

/// What a note may hold and how clients write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotesConfig {
    /// Whether only the known fields pass, and no `title` or `content` in plain text.
    pub strict_fields: bool,
    /// Whether messages about notes must come in signed envelopes.
    pub require_signed: bool,
    /// Names and values of one note's fields at most, in bytes.
    pub note_bytes_max: usize,
    /// Users one note is shared with at most.
    pub members_max: usize,
    /// Notes on one page of a list at most.
    pub page_limit_max: usize,
}

impl Default for NotesConfig {
    fn default() -> Self {
        Self {
            strict_fields: false,
            require_signed: false,
            note_bytes_max: 1024 * 1024,
            members_max: 100,
            page_limit_max: 500,
        }
    }
}
