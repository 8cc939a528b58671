//! Merging, for any edits of any note.

use proptest::prelude::*;

use super::*;
use crate::protocol::{NoteId, UserId};

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn fields(values: &BTreeMap<u8, u8>) -> NoteFields {
    NoteFields(
        values.iter().map(|(name, value)| (format!("f{name}"), raw(&value.to_string()))).collect(),
    )
}

/// A note with these fields, some of them written by later versions than others.
fn note(values: &BTreeMap<u8, u8>, version: i64) -> Note {
    let fields = fields(values);
    let written = fields.0.keys().enumerate();
    let field_versions = written.map(|(n, name)| (name.clone(), 1 + n as i64 % version)).collect();
    Note {
        id: NoteId::new("n").unwrap(),
        owner: UserId::new("alice").unwrap(),
        version,
        created_at: Timestamp(1),
        updated_at: Timestamp(5),
        deleted_at: None,
        fields,
        field_versions,
    }
}

fn values() -> impl Strategy<Value = BTreeMap<u8, u8>> {
    prop::collection::btree_map(0..8u8, 0..4u8, 0..6)
}

const NOW: Timestamp = Timestamp(10);

proptest! {
    #[test]
    fn edits_of_different_fields_from_one_base_commute(
        before in values(), a in values(), b in values(), version in 1..5i64,
    ) {
        let b = b.into_iter().filter(|(name, _)| !a.contains_key(name)).collect();
        let (note, a, b) = (note(&before, version), fields(&a), fields(&b));
        let in_order = |first: &NoteFields, second: &NoteFields| {
            let first = merge(&note, first, Some(version), NOW);
            let second = merge(&first.note, second, Some(version), NOW);
            assert!(first.conflicts.is_empty() && second.conflicts.is_empty());
            second.note
        };
        let (ab, ba) = (in_order(&a, &b), in_order(&b, &a));
        prop_assert_eq!(&ab.fields, &ba.fields);
        for (name, value) in a.0.iter().chain(&b.0) {
            prop_assert_eq!(ab.fields.get(name).unwrap().get(), value.get());
        }
    }

    #[test]
    fn a_merge_loses_no_field_and_raises_the_version_by_one(
        before in values(), changes in values(), version in 1..5i64, base in prop::option::of(0..6i64),
    ) {
        let (note, changes) = (note(&before, version), fields(&changes));
        let merged = merge(&note, &changes, base, NOW).note;
        prop_assert_eq!(merged.version, version + 1);
        prop_assert_eq!(merged.updated_at, NOW);
        for name in note.fields.0.keys().chain(changes.0.keys()) {
            let expected = changes.get(name).or(note.fields.get(name)).unwrap();
            prop_assert_eq!(merged.fields.get(name).unwrap().get(), expected.get());
            let written = if changes.get(name).is_some() { version + 1 } else { note.field_versions[name] };
            prop_assert_eq!(merged.field_versions[name], written);
        }
        prop_assert_eq!(merged.fields.0.len(), merged.field_versions.len());
    }

    #[test]
    fn a_conflict_is_a_field_that_changed_since_the_base_to_another_value(
        before in values(), changes in values(), version in 1..5i64, base in prop::option::of(0..6i64),
    ) {
        let (note, changes) = (note(&before, version), fields(&changes));
        let conflicts = merge(&note, &changes, base, NOW).conflicts;
        for (name, yours) in &changes.0 {
            let theirs = note.fields.get(name).filter(|theirs| theirs.get() != yours.get());
            let is_unseen = base.is_some_and(|base| note.field_versions.get(name).is_some_and(|&v| v > base));
            let expected = theirs.filter(|_| is_unseen);
            let expected = expected.map(|theirs| Conflict { yours: yours.clone(), theirs: theirs.to_owned() });
            prop_assert_eq!(conflicts.get(name), expected.as_ref());
        }
        prop_assert!(conflicts.keys().all(|name| changes.get(name).is_some()));
    }
}

#[test]
fn the_same_value_in_other_words_is_no_conflict() {
    let mut note = note(&BTreeMap::new(), 4);
    let deep = |leaf: &str| raw(&format!("{}{leaf}{}", "[".repeat(200), "]".repeat(200)));
    for (name, value) in [("a", raw(r#"{"x":1, "y":"\u00e9"}"#)), ("b", raw("1")), ("c", deep("1"))]
    {
        note.fields.0.insert(name.to_owned(), value);
        note.field_versions.insert(name.to_owned(), 3);
    }
    let with = |name: &str, value: Box<RawValue>| {
        let changes = NoteFields([(name.to_owned(), value)].into());
        merge(&note, &changes, Some(2), NOW).conflicts.len()
    };
    assert_eq!(with("a", raw(r#"{"y":"é","x":1}"#)), 0);
    assert_eq!(with("b", raw(r#""1""#)), 1);
    assert_eq!(with("c", deep("1")), 0);
    assert_eq!(with("c", deep("2")), 1, "too deep to be read");
}

#[test]
fn a_clock_that_goes_back_does_not_take_the_note_with_it() {
    let merged = merge(&note(&BTreeMap::new(), 1), &NoteFields::default(), None, Timestamp(3));
    assert_eq!(merged.note.updated_at, Timestamp(5));
}
