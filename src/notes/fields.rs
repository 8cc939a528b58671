//! Which fields a client may set, and how much a note may hold.

use serde_json::value::RawValue;

use super::NoteFields;

/// Fields of one note at most.
pub const FIELDS_MAX: usize = 256;

/// Bytes of a field's name at most.
pub const NAME_BYTES_MAX: usize = 128;

/// Names the hub sets itself; a client's values for them are dropped.
pub(super) const OWN_NAMES: [&str; 5] = ["id", "userId", "createdAt", "updatedAt", "version"];

/// The only fields that pass when fields are strict.
const STRICT_NAMES: [&str; 9] = [
    "title",
    "content",
    "encryptedTitle",
    "encryptedContent",
    "starred",
    "archived",
    "deleted",
    "hidden",
    "folderId",
];

/// What stands in `title` and `content` when the real ones are encrypted.
const ENCRYPTED: &str = "[ENCRYPTED]";

/// What is left of `changes` without the names the hub sets itself. Strict: only the known
/// fields, and no `title` or `content` in plain text.
#[must_use]
pub fn allowed(changes: NoteFields, strict: bool) -> NoteFields {
    let mut changes = changes;
    changes.0.retain(|name, value| {
        let name = name.as_str();
        if OWN_NAMES.contains(&name) {
            return false;
        }
        !strict || (STRICT_NAMES.contains(&name) && !is_plain_text(name, value))
    });
    changes
}

fn is_plain_text(name: &str, value: &RawValue) -> bool {
    let is_text = name == "title" || name == "content";
    is_text && serde_json::from_str::<String>(value.get()).ok().as_deref() != Some(ENCRYPTED)
}

/// Whether a note may hold these fields: at most `bytes_max` bytes of names and values, at most
/// [`FIELDS_MAX`] fields, names of 1 to [`NAME_BYTES_MAX`] bytes.
pub fn fits(fields: &NoteFields, bytes_max: usize) -> bool {
    fields.0.len() <= FIELDS_MAX
        && fields.bytes() <= bytes_max
        && fields.0.keys().all(|name| (1..=NAME_BYTES_MAX).contains(&name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(json: &str, strict: bool) -> String {
        let changes = serde_json::from_str(json).unwrap();
        serde_json::to_string(&allowed(changes, strict)).unwrap()
    }

    #[test]
    fn what_the_hub_sets_itself_is_dropped() {
        let json = r#"{"id":1,"userId":"x","createdAt":0,"updatedAt":0,"version":9,"color":"red","title":"t"}"#;
        assert_eq!(left(json, false), r#"{"color":"red","title":"t"}"#);
    }

    #[test]
    fn strict_fields_keep_what_is_known_and_encrypted() {
        let json = r#"{"title":"secret","content":"[ENCRYPTED]","encryptedTitle":"x","color":"red","starred":true}"#;
        assert_eq!(
            left(json, true),
            r#"{"content":"[ENCRYPTED]","encryptedTitle":"x","starred":true}"#
        );
        assert_eq!(left(r#"{"title":"\u005bENCRYPTED]","content":null}"#, true), {
            r#"{"title":"\u005bENCRYPTED]"}"#
        });
    }

    #[test]
    fn every_bound_of_a_note_is_kept() {
        let fields = |json: &str| -> NoteFields { serde_json::from_str(json).unwrap() };
        assert!(fits(&fields(r#"{"ab":"12"}"#), 6));
        assert!(!fits(&fields(r#"{"ab":"12"}"#), 5));
        assert!(!fits(&fields(r#"{"":1}"#), 100));
        let named = |name: &str| fields(&format!(r#"{{"{name}":1}}"#));
        assert!(fits(&named(&"x".repeat(128)), 1_000));
        assert!(!fits(&named(&"x".repeat(129)), 1_000));
        let many = |count: usize| {
            let all: Vec<String> = (0..count).map(|n| format!(r#""f{n}":1"#)).collect();
            fields(&format!("{{{}}}", all.join(",")))
        };
        assert!(fits(&many(256), 10_000));
        assert!(!fits(&many(257), 10_000));
    }
}
