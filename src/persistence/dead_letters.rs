//! Posts to webhooks that were given up, at rest.

use diesel::prelude::*;
use uuid::Uuid;

use super::connection::{StoreConnection, on_backend};
use super::messages::{DeadLetter, DeadLetterPage};
use super::schema::dead_letters;
use crate::protocol::Timestamp;

/// Letters read at once: a page stops at its bytes, and few are read beyond.
const CHUNK: usize = 16;

/// A dead letter.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = dead_letters)]
struct Row {
    letter_id: String,
    target: String,
    kind: String,
    body: String,
    attempts: i32,
    last_error: String,
    created_at: i64,
    failed_at: i64,
}

impl Row {
    fn new(letter: &DeadLetter) -> Self {
        Self {
            letter_id: name(letter.id),
            target: letter.target.clone(),
            kind: letter.kind.clone(),
            body: letter.body.clone(),
            attempts: i32::try_from(letter.attempts).unwrap_or(i32::MAX),
            last_error: letter.last_error.clone(),
            created_at: letter.created_at.0,
            failed_at: letter.failed_at.0,
        }
    }

    /// The letter; none for a row that something else wrote.
    fn letter(self) -> Option<DeadLetter> {
        Some(DeadLetter {
            id: Uuid::parse_str(&self.letter_id).ok()?,
            target: self.target,
            kind: self.kind,
            body: self.body,
            attempts: u32::try_from(self.attempts).unwrap_or(0),
            last_error: self.last_error,
            created_at: Timestamp(self.created_at),
            failed_at: Timestamp(self.failed_at),
        })
    }
}

/// A letter's name as it rests in a row. Names rise with time, and so do their texts.
fn name(id: Uuid) -> String {
    id.hyphenated().to_string()
}

/// Keeps letters; one that is kept already stays as it is.
pub(super) fn save(letters: &[DeadLetter], connection: &mut StoreConnection) -> QueryResult<()> {
    for letter in letters {
        let row = Row::new(letter);
        on_backend!(connection, inner => diesel::insert_into(dead_letters::table)
            .values(&row)
            .on_conflict(dead_letters::letter_id)
            .do_nothing()
            .execute(inner))?;
    }
    Ok(())
}

/// Notes one more attempt in vain.
pub(super) fn fail(
    id: Uuid,
    error: &str,
    at: Timestamp,
    connection: &mut StoreConnection,
) -> QueryResult<()> {
    diesel::update(dead_letters::table.filter(dead_letters::letter_id.eq(name(id))))
        .set((
            dead_letters::attempts.eq(dead_letters::attempts + 1),
            dead_letters::last_error.eq(error),
            dead_letters::failed_at.eq(at.0),
        ))
        .execute(connection)?;
    Ok(())
}

/// Forgets a letter; says whether there was one.
pub(super) fn delete(id: Uuid, connection: &mut StoreConnection) -> QueryResult<bool> {
    let letter = dead_letters::table.filter(dead_letters::letter_id.eq(name(id)));
    Ok(diesel::delete(letter).execute(connection)? > 0)
}

/// Reads one letter.
pub(super) fn find(id: Uuid, connection: &mut StoreConnection) -> QueryResult<Option<DeadLetter>> {
    let row: Option<Row> = dead_letters::table
        .filter(dead_letters::letter_id.eq(name(id)))
        .select(Row::as_select())
        .first(connection)
        .optional()?;
    Ok(row.and_then(Row::letter))
}

/// Reads a page, by name and so by age.
pub(super) fn list(
    after: Option<Uuid>,
    letters_max: usize,
    bytes_max: usize,
    connection: &mut StoreConnection,
) -> QueryResult<DeadLetterPage> {
    let mut page = DeadLetterPage::default();
    let mut reached = after.map(name).unwrap_or_default();
    let mut bytes = 0;
    loop {
        let rows: Vec<Row> = dead_letters::table
            .filter(dead_letters::letter_id.gt(&reached))
            .order(dead_letters::letter_id.asc())
            .limit(CHUNK as i64)
            .select(Row::as_select())
            .load(connection)?;
        let is_last = rows.len() < CHUNK;
        for row in rows {
            if page.letters.len() >= letters_max || bytes >= bytes_max {
                page.more = true;
                return Ok(page);
            }
            bytes += row.body.len();
            reached.clone_from(&row.letter_id);
            page.letters.extend(row.letter());
        }
        if is_last {
            return Ok(page);
        }
    }
}

/// Forgets up to `step_max` letters last tried before `cutoff`, and as many of the oldest beyond
/// `letters_max`.
pub(super) fn prune(
    cutoff: Timestamp,
    letters_max: u64,
    step_max: u32,
    connection: &mut StoreConnection,
) -> QueryResult<usize> {
    let mut gone: Vec<String> = dead_letters::table
        .filter(dead_letters::failed_at.lt(cutoff.0))
        .limit(i64::from(step_max))
        .select(dead_letters::letter_id)
        .load(connection)?;
    let surplus: Vec<String> = dead_letters::table
        .order((dead_letters::failed_at.desc(), dead_letters::letter_id.desc()))
        .offset(i64::try_from(letters_max).unwrap_or(i64::MAX))
        .limit(i64::from(step_max))
        .select(dead_letters::letter_id)
        .load(connection)?;
    gone.extend(surplus);
    gone.sort_unstable();
    gone.dedup();
    for letter in &gone {
        diesel::delete(dead_letters::table.filter(dead_letters::letter_id.eq(letter)))
            .execute(connection)?;
    }
    Ok(gone.len())
}
