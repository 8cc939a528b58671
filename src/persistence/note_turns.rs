//! Up to which epoch the turns of notes have got, by slot: notes are kept in `database.url`, and whose
//! the slots are perhaps elsewhere.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer};

use super::connection::StoreConnection;
use crate::protocol::{Epoch, Slot};

#[derive(QueryableByName)]
struct TurnRow {
    #[diesel(sql_type = Integer)]
    slot: i32,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
}

/// Raises the rows of these slots to these epochs, unless they are higher, and says what they are; they
/// stay so until the transaction ends. Only Postgres is shared: elsewhere they are what is asked for.
pub(super) fn raise(
    wanted: BTreeMap<Slot, Epoch>,
    connection: &mut StoreConnection,
) -> QueryResult<BTreeMap<Slot, Epoch>> {
    let StoreConnection::Postgres(inner) = connection else { return Ok(wanted) };
    let slots: Vec<i32> = wanted.keys().map(|slot| i32::from(slot.0)).collect();
    let epochs: Vec<i64> = wanted.values().map(|epoch| epoch.0).collect();
    // None is held while one must be raised: two nodes that hold the same row and want to raise it
    // would wait for each other.
    let rows: Vec<TurnRow> = diesel::sql_query(
        "SELECT slot, epoch FROM note_turns
         WHERE slot = ANY($1) AND NOT EXISTS (
            SELECT 1 FROM UNNEST($1, $2) AS w (slot, epoch)
            LEFT JOIN note_turns k ON k.slot = w.slot
            WHERE k.slot IS NULL OR k.epoch < w.epoch)
         ORDER BY slot FOR SHARE OF note_turns",
    )
    .bind::<Array<Integer>, _>(&slots)
    .bind::<Array<BigInt>, _>(&epochs)
    .load(inner)?;
    if rows.len() == slots.len() {
        return Ok(turns(rows));
    }
    let rows: Vec<TurnRow> = diesel::sql_query(
        "INSERT INTO note_turns (slot, epoch)
         SELECT slot, epoch FROM UNNEST($1, $2) AS w (slot, epoch) ORDER BY slot
         ON CONFLICT (slot) DO UPDATE
            SET epoch = GREATEST(note_turns.epoch, EXCLUDED.epoch)
         RETURNING slot, epoch",
    )
    .bind::<Array<Integer>, _>(&slots)
    .bind::<Array<BigInt>, _>(&epochs)
    .load(inner)?;
    Ok(turns(rows))
}

fn turns(rows: Vec<TurnRow>) -> BTreeMap<Slot, Epoch> {
    rows.into_iter().map(|row| (Slot(row.slot as u8), Epoch(row.epoch))).collect()
}
