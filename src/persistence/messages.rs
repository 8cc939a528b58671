//! What may be asked of Persistence, and what it answers once that is durable, or failed. Writes are
//! done in the order they were sent, many in one transaction.

mod broadcast;
mod dead_letters;
mod notes;
mod pushes;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use crate::protocol::{
    Epoch, Event, EventContent, EventId, Seq, SessionId, SessionRecord, Timestamp, UserId,
};

pub use self::broadcast::{
    BroadcastOutcome, BroadcastPart, BroadcastProgress, NextBroadcast, StartBroadcast,
};
pub use self::dead_letters::{
    DeadLetter, DeadLetterPage, DeadLetterPort, DeleteDeadLetter, FailDeadLetter, FindDeadLetter,
    ListDeadLetters, SaveDeadLetters,
};
pub use self::notes::{
    FenceNotes, ListNotes, NoteReply, NoteWrite, NotesPort, ReadMembers, ReadNote, ReadUnsettled,
    SettleNotes, ShareNote, UnshareNote, WriteNote,
};
pub use self::pushes::{ListPushes, PushChange, PushPort, Sleeper, WritePush};

/// Why the store did not do what was asked. Nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// More is waiting than the bound allows; try again in a moment.
    #[error("the store has too much waiting")]
    Overloaded,
    /// The database is away, locked or full.
    #[error("the database failed: {0}")]
    Database(String),
    /// The hub is stopping.
    #[error("the store is closed")]
    Closed,
    /// The slot is another node's: this one may not write to it.
    #[error("the slot is another node's")]
    Moved,
}

/// How a publish is recognised when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DuplicateKey {
    /// The hub drew the event's name: it cannot come again.
    Fresh,
    /// By the event's name, which the publisher chose.
    EventId {
        /// What the publisher said, as 32 hexadecimal characters.
        fingerprint: String,
    },
    /// By the publisher's own key, unique per user.
    Key {
        /// The key.
        key: String,
        /// What the publisher said, as 32 hexadecimal characters.
        fingerprint: String,
    },
}

/// Names one asked-for append in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One event to append.
#[derive(Clone, Debug)]
pub struct AppendEvent {
    /// Comes back with the result.
    pub ticket: Ticket,
    /// Whose log.
    pub user: UserId,
    /// What was published.
    pub content: Arc<EventContent>,
    /// How a repetition is recognised.
    pub duplicate: DuplicateKey,
    /// How many sessions were live; kept so that a repetition gets the first answer.
    pub live: u32,
    /// How many sessions were offline; kept likewise.
    pub offline: u32,
    /// Sessions to be marked `need_full_sync` in the same transaction, if the event is stored.
    pub need_full_sync: Vec<SessionId>,
    /// At which epoch of the user's slot this was decided.
    pub epoch: Epoch,
}

/// Appends events to their users' logs. Events of one user get rising places in the order sent.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Append {
    /// Which ReliableDelivery asks; answers to one group are joined.
    pub group: usize,
    /// What to append.
    pub events: Vec<AppendEvent>,
    /// Who gets the results.
    pub reply: Recipient<Appended>,
}

/// The results of appends, in the order asked.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Appended(pub Vec<(Ticket, Result<AppendOutcome, StoreError>)>);

/// What became of one append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is durable, at this place.
    Stored(Seq),
    /// It was stored before, with this answer; nothing was written.
    Duplicate {
        /// Its name, which differs from the one asked for when a key recognised it.
        id: EventId,
        /// Its place.
        seq: Seq,
        /// The first answer's count.
        live: u32,
        /// The first answer's count.
        offline: u32,
    },
    /// The same name or key was used for something else; nothing was written.
    Conflict,
}

/// Writes these sessions whole, new or known. Not answered: a failed write is kept and goes
/// first in the next transaction, so that nothing that follows from it is written before it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SaveSessions(pub Vec<(UserId, SessionRecord, Epoch)>);

/// One session's floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Whose session it is.
    pub user: UserId,
    /// Whose.
    pub session: SessionId,
    /// Everything at or below is settled.
    pub floor: Seq,
    /// When it last acked.
    pub acked_at: Timestamp,
    /// As in [`AppendEvent`].
    pub epoch: Epoch,
}

/// Moves floors up, in one statement per group. Not answered.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SaveFloors(pub Vec<Floor>);

/// Forgets sessions. Not answered.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DeleteSessions(pub Vec<(UserId, SessionId, Epoch)>);

/// Creates a session under a name the client chose, unless anyone has it already.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ClaimSession {
    /// Comes back with the answer.
    pub ticket: Ticket,
    /// Who wants it.
    pub user: UserId,
    /// What to create.
    pub record: SessionRecord,
    /// As in [`AppendEvent`].
    pub epoch: Epoch,
    /// Who gets the answer.
    pub reply: Recipient<SessionClaimed>,
}

/// The answer to [`ClaimSession`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SessionClaimed {
    /// As asked.
    pub ticket: Ticket,
    /// As asked.
    pub user: UserId,
    /// Whether the name is the user's now.
    pub result: Result<Claim, StoreError>,
}

/// Whether a session name could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The session is created and durable.
    Created,
    /// Somebody has it.
    Taken,
}

/// Reads what is durable of a user, after every write sent before.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LoadUser {
    /// Who.
    pub user: UserId,
    /// Who gets the answer.
    pub reply: Recipient<UserLoaded>,
}

/// The answer to [`LoadUser`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct UserLoaded {
    /// As asked.
    pub user: UserId,
    /// What is durable.
    pub result: Result<UserSnapshot, StoreError>,
}

/// What is durable of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserSnapshot {
    /// The last place in the log; zero for an empty one.
    pub last_seq: Seq,
    /// Everything at or below is no longer in the log.
    pub pruned: Seq,
    /// The user's sessions.
    pub sessions: Vec<SessionRecord>,
}

/// Reads a piece of a user's log, in order, on a reader of its own. Expired events are part of
/// it: the asker skips them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadLog {
    /// Whose log.
    pub user: UserId,
    /// For which session; comes back.
    pub session: SessionId,
    /// Comes back, so that an answer to an earlier life of the session is recognised.
    pub ticket: Ticket,
    /// Read what comes after this place.
    pub after: Seq,
    /// At most this many events.
    pub events_max: usize,
    /// Stop after the event that passes this many bytes; at least one event is read.
    pub bytes_max: usize,
    /// Who gets the answer.
    pub reply: Recipient<LogRead>,
}

/// The answer to [`ReadLog`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LogRead {
    /// As asked.
    pub user: UserId,
    /// As asked.
    pub session: SessionId,
    /// As asked.
    pub ticket: Ticket,
    /// The events, rising.
    pub result: Result<Vec<Event>, StoreError>,
}

/// Tells that the log of a user was pruned.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct LogPruned {
    /// Whose log, and the place at and below which nothing is left.
    pub users: Vec<(UserId, Seq)>,
}

/// Asks to be told of pruning from now on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ObservePruning(pub Recipient<LogPruned>);

/// Answers once everything sent before is durable (or failed).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Flush(pub oneshot::Sender<()>);

/// Reads a page of a user's log for `GET /sync`, on a reader of its own. Expired events are left
/// out.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadPage {
    /// Whose log.
    pub user: UserId,
    /// What comes after this place.
    pub after: Seq,
    /// Events that expired before this are left out.
    pub now: Timestamp,
    /// At most this many events.
    pub events_max: usize,
    /// Stop after the event that passes this many bytes; at least one event is read.
    pub bytes_max: usize,
    /// Gets the page.
    pub reply: oneshot::Sender<Result<LogPage, StoreError>>,
}

/// A page of a user's log.
#[derive(Clone, Debug, Default)]
pub struct LogPage {
    /// The events, rising.
    pub events: Vec<Event>,
    /// Up to where this page read: the next page starts after it. At least `after`; past places
    /// whose event expired.
    pub cursor: Seq,
    /// Whether the log goes on.
    pub more: bool,
    /// Everything at or below is no longer in the log.
    pub pruned: Seq,
}

/// Asks whether the database answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CheckHealth(pub oneshot::Sender<Result<(), StoreError>>);

/// Finds an event in every log that holds it, with what each of those users' sessions settled.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FindEvent {
    /// Which.
    pub event: EventId,
    /// At most this many logs.
    pub users_max: usize,
    /// Gets what was found.
    pub reply: oneshot::Sender<Result<Vec<StoredEvent>, StoreError>>,
}

/// An event as one user's log holds it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Whose log.
    pub user: UserId,
    /// The event and its place.
    pub event: Event,
    /// Sessions that were live when it was published.
    pub live: u32,
    /// Sessions that were offline then.
    pub offline: u32,
    /// The user's sessions as they rest now.
    pub sessions: Vec<SessionRecord>,
}

/// Everything others ask of Persistence: a test hands them probes.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the recipient of the message it is named after")]
pub struct PersistencePort {
    pub append: Recipient<Append>,
    pub save_sessions: Recipient<SaveSessions>,
    pub save_floors: Recipient<SaveFloors>,
    pub delete_sessions: Recipient<DeleteSessions>,
    pub claim_session: Recipient<ClaimSession>,
    pub load_user: Recipient<LoadUser>,
    pub read_log: Recipient<ReadLog>,
    pub read_page: Recipient<ReadPage>,
    pub check_health: Recipient<CheckHealth>,
    pub find_event: Recipient<FindEvent>,
    pub start_broadcast: Recipient<StartBroadcast>,
    pub next_broadcast: Recipient<NextBroadcast>,
    pub broadcast_progress: Recipient<BroadcastProgress>,
    pub flush: Recipient<Flush>,
    pub observe_pruning: Recipient<ObservePruning>,
    pub notes: NotesPort,
    pub dead_letters: DeadLetterPort,
    pub pushes: PushPort,
    pub waiting: Waiting,
}

/// How many events and changes of notes wait to be stored. Whoever writes asks first; Persistence takes them off
/// when it answers.
#[derive(Clone, Debug)]
pub struct Waiting {
    events: Arc<AtomicUsize>,
    events_max: usize,
}

impl Waiting {
    /// Lets this many events wait. A single batch may be larger if nothing else waits.
    pub fn new(events_max: usize) -> Self {
        Self { events: Arc::default(), events_max }
    }

    /// Lets `events` more wait, unless that is too many.
    pub fn enter(&self, events: usize) -> bool {
        let before = self.events.fetch_add(events, Ordering::Relaxed);
        if before > 0 && before + events > self.events_max {
            self.leave(events);
            return false;
        }
        true
    }

    /// Takes `events` off, because they were answered.
    pub fn leave(&self, events: usize) {
        self.events.fetch_sub(events, Ordering::Relaxed);
    }
}
