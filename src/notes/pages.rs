//! One page of what several nodes keep, each its own notes.

use super::{NoteCursor, NotePage, SharedNote};

/// Makes one page of at most `limit` notes from the pages of several stores, each of which begins at
/// the same place.
#[must_use]
pub fn merge_pages(pages: Vec<NotePage>, limit: usize) -> NotePage {
    // What comes after the end of a page that has a next one may not be all there is.
    let end = pages.iter().filter_map(|page| page.next.as_ref()).min_by_key(|next| order(next));
    let end = end.cloned();
    let mut notes: Vec<SharedNote> = pages.into_iter().flat_map(|page| page.notes).collect();
    notes.sort_by_key(|shared| order(&place(shared)));
    notes.dedup_by(|one, other| one.note.id == other.note.id);
    if let Some(end) = &end {
        notes.retain(|shared| order(&place(shared)) <= order(end));
    }
    let next = if notes.len() > limit.max(1) {
        notes.truncate(limit.max(1));
        notes.last().map(place)
    } else {
        end
    };
    NotePage { notes, next }
}

fn place(shared: &SharedNote) -> NoteCursor {
    NoteCursor { updated_at: shared.note.updated_at, id: shared.note.id.clone() }
}

fn order(cursor: &NoteCursor) -> (i64, String) {
    (cursor.updated_at.0, cursor.id.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::notes::{Access, Note, NoteFields};
    use crate::protocol::{NoteId, Timestamp, UserId};

    fn shared(id: &str, at: i64) -> SharedNote {
        let note = Note {
            id: NoteId::new(id).unwrap(),
            owner: UserId::new("alice").unwrap(),
            version: 1,
            created_at: Timestamp(0),
            updated_at: Timestamp(at),
            deleted_at: None,
            fields: NoteFields::default(),
            field_versions: BTreeMap::new(),
        };
        SharedNote { note, access: Access::Owner }
    }

    fn cut(notes: &[(&str, i64)], limit: usize, after: Option<&NoteCursor>) -> NotePage {
        let all = notes.iter().map(|(id, at)| shared(id, *at));
        let mut rest: Vec<_> =
            all.filter(|s| after.is_none_or(|after| order(&place(s)) > order(after))).collect();
        rest.sort_by_key(|s| order(&place(s)));
        let has_more = rest.len() > limit;
        rest.truncate(limit);
        NotePage { next: rest.last().map(place).filter(|_| has_more), notes: rest }
    }

    #[test]
    fn every_note_is_on_one_page_in_order() {
        let nodes =
            [[("a", 1), ("d", 4), ("e", 9), ("h", 9)], [("b", 1), ("c", 2), ("f", 9), ("g", 9)]];
        for limit in 1..10 {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let pages = nodes.iter().map(|notes| cut(notes, limit, after.as_ref())).collect();
                let NotePage { notes, next } = merge_pages(pages, limit);
                assert!(notes.len() <= limit);
                seen.extend(notes.iter().map(|shared| shared.note.id.to_string()));
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen.concat(), "abcdefgh", "limit {limit}");
        }
    }
}
