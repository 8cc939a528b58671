//! Notes: shared documents of named fields, merged field by field.
//!
//! Pure: what a change does is decided here, on what is stored; a [`NoteStore`] keeps it.

mod events;
mod fields;
mod merge;
mod note;
mod pages;
mod rules;
mod store;

pub use self::fields::{FIELDS_MAX, NAME_BYTES_MAX, allowed, fits};
pub use self::merge::{Conflict, Merged, merge};
pub use self::note::{Access, Author, Note, NoteFields, Role};
pub use self::pages::merge_pages;
pub use self::rules::{Standing, create, delete, update};
pub use self::store::{
    Members, NewNote, NoteChange, NoteCursor, NoteEdit, NoteError, NoteEvent, NotePage, NoteQuery,
    NoteStore, Shared, SharedNote,
};
