//! Whose the slots are, as rows of Postgres: read, renewed and changed hands by compare-and-set, by
//! the database's clock.
//!
//! Every call blocks: it is for a thread that may.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Text};

use super::connection::{Opener, StoreConnection, StoreSetupError, in_transaction};
use super::messages::StoreError;
use crate::cluster::ownership::{NodeState, SlotState};
use crate::config::DatabaseConfig;
use crate::protocol::{Epoch, NodeNumber, Slot};

/// Rows of nodes whose lease ended this long ago are forgotten, in milliseconds.
const FORGET_MS: i64 = 86_400_000;

/// What a node says of itself when it renews its lease.
#[derive(Clone, Debug)]
pub struct Beat {
    /// Who.
    pub number: NodeNumber,
    /// Its name.
    pub name: String,
    /// For how long, in milliseconds.
    pub lease_ms: u64,
    /// Whether it is going away.
    pub is_leaving: bool,
    /// Whether the bus reaches it.
    pub is_on_bus: bool,
}

/// One consistent reading.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The nodes that were seen within a day.
    pub nodes: Vec<NodeState>,
    /// The slots of this database.
    pub slots: Vec<SlotState>,
    /// When the first lease of another node ends unless it is renewed, in milliseconds from now.
    pub first_end_ms: Option<u64>,
}

/// The rows, over a connection of its own.
pub struct SlotStore {
    opener: Opener,
    connection: Option<StoreConnection>,
    slots: Vec<i32>,
}

impl std::fmt::Debug for SlotStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlotStore").finish_non_exhaustive()
    }
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = Integer)]
    last: i32,
}

#[derive(QueryableByName)]
struct NodeRow {
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = BigInt)]
    left_ms: i64,
    #[diesel(sql_type = Integer)]
    leaving: i32,
    #[diesel(sql_type = Integer)]
    on_bus: i32,
}

#[derive(QueryableByName)]
struct SlotRow {
    #[diesel(sql_type = Integer)]
    slot: i32,
    #[diesel(sql_type = Integer)]
    node: i32,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
}

/// The database's clock, in Unix milliseconds.
const NOW: &str = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";

impl SlotStore {
    /// The rows of these slots in this database, which is opened when it is first asked.
    ///
    /// # Errors
    /// When the URL names no database we know.
    pub fn new(
        database: &DatabaseConfig,
        slots: impl Iterator<Item = Slot>,
        wait_ms: u64,
    ) -> Result<Self, StoreSetupError> {
        let opener = Opener::new(database)?.giving_up(wait_ms);
        let slots = slots.map(|slot| i32::from(slot.0)).collect();
        Ok(Self { opener, connection: None, slots })
    }

    /// Draws the number of a new life of a node.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn draw_number(&mut self) -> Result<NodeNumber, StoreError> {
        let last = self.run(|connection| {
            let rows: Vec<NumberRow> = diesel::sql_query(
                "INSERT INTO node_numbers (id, last) VALUES (1, 1)
                 ON CONFLICT (id) DO UPDATE SET last = node_numbers.last % $1 + 1
                 RETURNING last",
            )
            .bind::<Integer, _>(i32::try_from(NodeNumber::MAX).unwrap_or(i32::MAX))
            .load(connection)?;
            Ok(rows.first().map_or(0, |row| row.last))
        })?;
        Ok(NodeNumber(u32::try_from(last).unwrap_or(0)))
    }

    /// Renews a lease, and reads who is there and whose the slots are.
    ///
    /// # Errors
    /// When the database does not answer: then the lease was not renewed.
    pub fn beat(&mut self, beat: &Beat) -> Result<Reading, StoreError> {
        let wanted = self.slots.clone();
        self.run(|connection| {
            diesel::sql_query(format!(
                "INSERT INTO nodes (number, name, lease_until, leaving, on_bus)
                 VALUES ($1, $2, {NOW} + $3, $4, $5)
                 ON CONFLICT (number) DO UPDATE SET
                    lease_until = EXCLUDED.lease_until,
                    leaving = EXCLUDED.leaving,
                    on_bus = EXCLUDED.on_bus"
            ))
            .bind::<Integer, _>(number(beat.number))
            .bind::<Text, _>(&beat.name)
            .bind::<BigInt, _>(i64::try_from(beat.lease_ms).unwrap_or(i64::MAX))
            .bind::<Integer, _>(i32::from(beat.is_leaving))
            .bind::<Integer, _>(i32::from(beat.is_on_bus))
            .execute(connection)?;
            diesel::sql_query(format!("DELETE FROM nodes WHERE lease_until < {NOW} - $1"))
                .bind::<BigInt, _>(FORGET_MS)
                .execute(connection)?;
            diesel::sql_query(
                "INSERT INTO slots (slot, node, epoch)
                 SELECT slot, 0, 0 FROM UNNEST($1) AS w (slot)
                 WHERE NOT EXISTS (SELECT 1 FROM slots s WHERE s.slot = w.slot)
                 ON CONFLICT (slot) DO NOTHING",
            )
            .bind::<Array<Integer>, _>(&wanted)
            .execute(connection)?;
            let nodes: Vec<NodeRow> = diesel::sql_query(format!(
                "SELECT number, lease_until - {NOW} AS left_ms, leaving, on_bus FROM nodes"
            ))
            .load(connection)?;
            let slots: Vec<SlotRow> = diesel::sql_query(
                "SELECT slot, node, epoch FROM slots WHERE slot = ANY($1) ORDER BY slot",
            )
            .bind::<Array<Integer>, _>(&wanted)
            .load(connection)?;
            let others = nodes.iter().filter(|row| row.number != number(beat.number));
            let left = others.filter_map(|row| u64::try_from(row.left_ms).ok());
            Ok(Reading {
                first_end_ms: left.min(),
                nodes: nodes.into_iter().map(NodeRow::state).collect(),
                slots: slots.into_iter().map(SlotRow::state).collect(),
            })
        })
    }

    /// Takes slots that nobody has, if they still are at these epochs; says which it got, each at
    /// its new epoch.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn take(
        &mut self,
        here: NodeNumber,
        wanted: &[(Slot, Epoch)],
    ) -> Result<Vec<(Slot, Epoch)>, StoreError> {
        let slots: Vec<i32> = wanted.iter().map(|(slot, _)| i32::from(slot.0)).collect();
        let epochs: Vec<i64> = wanted.iter().map(|(_, epoch)| epoch.0).collect();
        let mut taken: Vec<SlotRow> = self.run(|connection| {
            diesel::sql_query(format!(
                "UPDATE slots SET node = $1, epoch = GREATEST(slots.epoch + 1, {NOW})
                 FROM UNNEST($2, $3) AS w (slot, epoch)
                 WHERE slots.slot = w.slot AND slots.epoch = w.epoch
                   AND (slots.node = 0 OR NOT EXISTS (
                        SELECT 1 FROM nodes n
                        WHERE n.number = slots.node AND n.lease_until > {NOW}))
                 RETURNING slots.slot, slots.node, slots.epoch"
            ))
            .bind::<Integer, _>(number(here))
            .bind::<Array<Integer>, _>(&slots)
            .bind::<Array<BigInt>, _>(&epochs)
            .load(connection)
        })?;
        taken.sort_by_key(|row| row.slot);
        Ok(taken.into_iter().map(|row| (Slot(row.slot as u8), Epoch(row.epoch))).collect())
    }

    /// Lets slots go, if they still are this node's.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn let_go(&mut self, here: NodeNumber, slots: &[Slot]) -> Result<(), StoreError> {
        let slots: Vec<i32> = slots.iter().map(|slot| i32::from(slot.0)).collect();
        self.run(|connection| {
            diesel::sql_query("UPDATE slots SET node = 0 WHERE node = $1 AND slot = ANY($2)")
                .bind::<Integer, _>(number(here))
                .bind::<Array<Integer>, _>(&slots)
                .execute(connection)
        })?;
        Ok(())
    }

    fn run<T>(
        &mut self,
        work: impl FnOnce(&mut diesel::PgConnection) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        if self.connection.is_none() {
            let opened = self.opener.open();
            self.connection =
                Some(opened.map_err(|error| StoreError::Database(error.to_string()))?);
        }
        let connection = self.connection.as_mut().ok_or(StoreError::Closed)?;
        let done = in_transaction(connection, |connection| match connection {
            StoreConnection::Postgres(inner) => work(inner),
            StoreConnection::Sqlite(_) => Err(diesel::result::Error::NotFound),
        });
        if done.is_err() {
            self.connection = None;
        }
        Ok(done?)
    }
}

impl NodeRow {
    fn state(self) -> NodeState {
        NodeState {
            number: NodeNumber(u32::try_from(self.number).unwrap_or(0)),
            is_live: self.left_ms > 0,
            is_leaving: self.leaving != 0,
            is_on_bus: self.on_bus != 0,
        }
    }
}

impl SlotRow {
    fn state(self) -> SlotState {
        let owner = u32::try_from(self.node).ok().filter(|node| *node != 0).map(NodeNumber);
        SlotState { slot: Slot(self.slot as u8), owner, epoch: Epoch(self.epoch) }
    }
}

fn number(NodeNumber(number): NodeNumber) -> i32 {
    i32::try_from(number).unwrap_or(0)
}

/// Which of these slots are `here`'s now, at which epochs; they stay so until the transaction ends.
pub(super) fn hold(
    here: NodeNumber,
    slots: &[i32],
    connection: &mut StoreConnection,
) -> QueryResult<Vec<(Slot, Epoch)>> {
    let StoreConnection::Postgres(inner) = connection else { return Ok(Vec::new()) };
    let rows: Vec<SlotRow> = diesel::sql_query(
        "SELECT slot, node, epoch FROM slots
         WHERE slot = ANY($1) AND node = $2 ORDER BY slot FOR SHARE",
    )
    .bind::<Array<Integer>, _>(slots)
    .bind::<Integer, _>(number(here))
    .load(inner)?;
    Ok(rows.into_iter().map(|row| (Slot(row.slot as u8), Epoch(row.epoch))).collect())
}

/// Whether `here` has the first slot of this database, or nobody has any: one node sees to what is of
/// no slot.
pub(super) fn is_first(here: NodeNumber, connection: &mut StoreConnection) -> QueryResult<bool> {
    let StoreConnection::Postgres(inner) = connection else { return Ok(true) };
    let rows: Vec<SlotRow> =
        diesel::sql_query("SELECT slot, node, epoch FROM slots ORDER BY slot LIMIT 1")
            .load(inner)?;
    Ok(rows.first().is_none_or(|row| row.node == number(here)))
}

/// Gives up what waits or rests longer than this, so that a node that is stopped in the middle of
/// something holds up nobody.
pub(super) fn give_up_after(
    wait_ms: u64,
    connection: &mut diesel::PgConnection,
) -> QueryResult<()> {
    connection.batch_execute(&format!(
        "SET idle_in_transaction_session_timeout = {wait_ms}; SET lock_timeout = {wait_ms}"
    ))
}
