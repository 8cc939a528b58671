//! Group commit: everything that arrived, in order, in one transaction.
//!
//! Either all of a group is durable, or its askers are told that none of it is.

use std::collections::VecDeque;

use diesel::QueryResult;

use super::connection::StoreConnection;
use super::events::{self, LastSeqs};
use super::fence::Fence;
use super::messages::{
    Append, AppendEvent, AppendOutcome, BroadcastOutcome, BroadcastProgress, Claim, ClaimSession,
    DeleteDeadLetter, DeleteSessions, DuplicateKey, FailDeadLetter, FenceNotes, Floor,
    SaveDeadLetters, SaveFloors, SaveSessions, SettleNotes, ShareNote, StartBroadcast, StoreError,
    UnshareNote, WriteNote, WritePush,
};
use super::places::Places;
use super::{broadcasts, dead_letters, journal, many, notes, pushes, sessions};
use crate::notes::{NoteChange, NoteError, Shared};
use crate::protocol::{Epoch, NodeNumber, NoteId, Slot, UserId};

/// So many events more counts one that may be a repetition, for the log is asked first: each time a round
/// trip of its own to Postgres, with the slots of the group held.
const LOOKUP: usize = 3;

/// One write that was asked for.
#[derive(Debug)]
pub(super) enum Write {
    Append(Append),
    SaveSessions(SaveSessions),
    SaveFloors(SaveFloors),
    DeleteSessions(DeleteSessions),
    Claim(ClaimSession),
    StartBroadcast(StartBroadcast),
    BroadcastProgress(BroadcastProgress),
    Note(WriteNote),
    ShareNote(ShareNote),
    UnshareNote(UnshareNote),
    FenceNotes(FenceNotes),
    SettleNotes(SettleNotes),
    SaveDeadLetters(SaveDeadLetters),
    FailDeadLetter(FailDeadLetter),
    DeleteDeadLetter(DeleteDeadLetter),
    Push(WritePush),
}

impl Write {
    /// Shows `see` every user whose slot it is about.
    pub(super) fn users(&self, mut see: impl FnMut(&UserId)) {
        match self {
            Write::Append(append) => append.events.iter().for_each(|event| see(&event.user)),
            Write::SaveSessions(SaveSessions(saved)) => {
                saved.iter().for_each(|(user, ..)| see(user));
            }
            Write::SaveFloors(SaveFloors(floors)) => {
                floors.iter().for_each(|floor| see(&floor.user));
            }
            Write::DeleteSessions(DeleteSessions(names)) => {
                names.iter().for_each(|(user, ..)| see(user));
            }
            Write::Claim(claim) => see(&claim.user),
            Write::StartBroadcast(_)
            | Write::BroadcastProgress(_)
            | Write::Note(_)
            | Write::ShareNote(_)
            | Write::UnshareNote(_)
            | Write::FenceNotes(_)
            | Write::SettleNotes(_)
            | Write::SaveDeadLetters(_)
            | Write::FailDeadLetter(_)
            | Write::DeleteDeadLetter(_)
            | Write::Push(_) => {}
        }
    }

    /// Shows `see` every slot whose turns it rests on, and the epoch of them.
    pub(super) fn turns(&self, mut see: impl FnMut(Slot, Epoch)) {
        let mut see_note = |note: &NoteId, at: Option<Epoch>| {
            if let Some(epoch) = at {
                see(note.slot(), epoch);
            }
        };
        match self {
            Write::Note(message) => see_note(message.write.note(), message.at),
            Write::ShareNote(share) => see_note(&share.id, share.at),
            Write::UnshareNote(unshare) => see_note(&unshare.id, unshare.at),
            Write::FenceNotes(FenceNotes { turns, .. }) => {
                turns.iter().for_each(|(slot, epoch)| see(*slot, *epoch));
            }
            Write::Append(_)
            | Write::SaveSessions(_)
            | Write::SaveFloors(_)
            | Write::DeleteSessions(_)
            | Write::Claim(_)
            | Write::StartBroadcast(_)
            | Write::BroadcastProgress(_)
            | Write::SettleNotes(_)
            | Write::SaveDeadLetters(_)
            | Write::FailDeadLetter(_)
            | Write::DeleteDeadLetter(_)
            | Write::Push(_) => {}
        }
    }

    /// How much of a group it takes, in events: those with much data, and those that may be repetitions,
    /// count as several.
    pub(super) fn weight(&self) -> usize {
        let of_event = |event: &AppendEvent| match event.duplicate {
            DuplicateKey::Fresh => journal::pages_of(event),
            DuplicateKey::EventId { .. } | DuplicateKey::Key { .. } => {
                journal::pages_of(event) + LOOKUP
            }
        };
        match self {
            Write::Append(append) => append.events.iter().map(of_event).sum(),
            others => others.events(),
        }
    }

    /// How many events it appends; a change of a note keeps one.
    pub(super) fn events(&self) -> usize {
        match self {
            Write::Append(append) => append.events.len(),
            Write::Note(_) => 1,
            Write::SaveSessions(_)
            | Write::SaveFloors(_)
            | Write::DeleteSessions(_)
            | Write::Claim(_)
            | Write::StartBroadcast(_)
            | Write::BroadcastProgress(_)
            | Write::ShareNote(_)
            | Write::UnshareNote(_)
            | Write::FenceNotes(_)
            | Write::SettleNotes(_)
            | Write::SaveDeadLetters(_)
            | Write::FailDeadLetter(_)
            | Write::DeleteDeadLetter(_)
            | Write::Push(_) => 0,
        }
    }
}

/// What became of a group, kind by kind, each in the order asked.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) appends: VecDeque<Result<AppendOutcome, StoreError>>,
    pub(super) claims: VecDeque<Result<Claim, StoreError>>,
    pub(super) broadcasts: VecDeque<BroadcastOutcome>,
    pub(super) notes: VecDeque<Result<NoteChange, NoteError>>,
    pub(super) shares: VecDeque<Result<Shared, NoteError>>,
    pub(super) unshares: VecDeque<Result<bool, NoteError>>,
    pub(super) deletions: VecDeque<bool>,
    pub(super) pushes: VecDeque<bool>,
}

/// Writes a group.
pub(super) fn commit(
    writes: &[Write],
    last: &mut LastSeqs,
    places: &mut Places,
    here: Option<NodeNumber>,
    connection: &mut StoreConnection,
) -> Result<Outcomes, StoreError> {
    if writes.is_empty() {
        return Ok(Outcomes::default());
    }
    last.trim();
    let done = places.in_transaction(connection, |places, connection| {
        let fence = Fence::raise(here, writes, last, connection)?;
        let outcomes = write_all(writes, last, places, &fence, connection)?;
        places.place(connection)?;
        Ok(outcomes)
    });
    if done.is_err() {
        last.forget_all();
    }
    Ok(done?)
}

fn write_all(
    writes: &[Write],
    last: &mut LastSeqs,
    places: &mut Places,
    fence: &Fence,
    connection: &mut StoreConnection,
) -> QueryResult<Outcomes> {
    let mut outcomes = Outcomes::default();
    // Appends that follow one another are one batch.
    let mut batch: Vec<&AppendEvent> = Vec::new();
    for write in writes {
        if let Write::Append(append) = write {
            batch.extend(&append.events);
            continue;
        }
        append(&mut batch, &mut outcomes, last, places, fence, connection)?;
        match write {
            // A fence is raised before anything is written.
            Write::Append(_) | Write::FenceNotes(_) => {}
            Write::SaveSessions(SaveSessions(records)) => {
                for (user, record, epoch) in records {
                    if fence.lets(user, *epoch) {
                        sessions::save(user, record, connection)?;
                    }
                }
            }
            Write::SaveFloors(SaveFloors(floors)) => {
                let may = |floor: &&Floor| fence.lets(&floor.user, floor.epoch);
                many::raise_floors(&floors.iter().filter(may).collect::<Vec<_>>(), connection)?;
            }
            Write::DeleteSessions(DeleteSessions(names)) => {
                for (user, session, epoch) in names {
                    if fence.lets(user, *epoch) {
                        sessions::delete(session, connection)?;
                    }
                }
            }
            Write::Claim(claim) => {
                let claimed = match fence.check(&claim.user, claim.epoch) {
                    Ok(()) => Ok(sessions::claim(&claim.user, &claim.record, connection)?),
                    Err(error) => Err(error),
                };
                outcomes.claims.push_back(claimed);
            }
            Write::StartBroadcast(start) => {
                let StartBroadcast { content, duplicate, others, .. } = start;
                let started = broadcasts::start(content, duplicate, *others, connection)?;
                outcomes.broadcasts.push_back(started);
            }
            Write::BroadcastProgress(progress) => {
                broadcasts::progress(progress.event, progress.done.as_ref(), connection)?;
            }
            Write::Note(note) => {
                let write = || notes::write(note, connection);
                outcomes.notes.push_back(fence.in_turn(note.write.note(), note.at, write)?);
            }
            Write::ShareNote(share) => {
                let write = || notes::share(share, connection);
                outcomes.shares.push_back(fence.in_turn(&share.id, share.at, write)?);
            }
            Write::UnshareNote(UnshareNote { id, member, at, .. }) => {
                let write = || notes::unshare(id, member, connection).map(Ok);
                outcomes.unshares.push_back(fence.in_turn(id, *at, write)?);
            }
            Write::SettleNotes(SettleNotes(events)) => notes::settle(events, connection)?,
            Write::SaveDeadLetters(SaveDeadLetters(letters)) => {
                dead_letters::save(letters, connection)?;
            }
            Write::FailDeadLetter(FailDeadLetter { id, error, at }) => {
                dead_letters::fail(*id, error, *at, connection)?;
            }
            Write::DeleteDeadLetter(delete) => {
                outcomes.deletions.push_back(dead_letters::delete(delete.id, connection)?);
            }
            Write::Push(push) => outcomes.pushes.push_back(pushes::write(push, connection)?),
        }
    }
    append(&mut batch, &mut outcomes, last, places, fence, connection)?;
    Ok(outcomes)
}

/// Appends a batch, and empties it; what the fence keeps out is told so.
fn append(
    batch: &mut Vec<&AppendEvent>,
    outcomes: &mut Outcomes,
    last: &mut LastSeqs,
    places: &mut Places,
    fence: &Fence,
    connection: &mut StoreConnection,
) -> QueryResult<()> {
    let may = |event: &&AppendEvent| fence.lets(&event.user, event.epoch);
    if batch.iter().all(may) {
        let appended = events::append(batch, last, places, connection)?;
        outcomes.appends.extend(appended.into_iter().map(Ok));
        batch.clear();
        return Ok(());
    }
    let let_in: Vec<_> = batch.iter().copied().filter(may).collect();
    let mut appended = events::append(&let_in, last, places, connection)?.into_iter();
    for event in batch.drain(..) {
        let outcome = if may(&event) { appended.next() } else { None };
        outcomes.appends.push_back(outcome.ok_or(StoreError::Moved));
    }
    Ok(())
}
