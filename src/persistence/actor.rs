//! Persistence: the one writer, on a thread of its own that may block.
//!
//! Handlers only collect. The group is committed when the mailbox is drained and others had their turn,
//! or when it is large enough: what arrives during a commit is the next group, and an idle hub waits
//! for nothing. Reads that must see every write before them follow the commit; all others run on
//! [`Readers`].

mod answers;
mod dead_letters;
mod handle;
mod notes;
mod pruning;
mod pushes;
mod reads;

use std::time::{Duration, Instant};

use actix::{Actor, ActorFutureExt, Addr, Arbiter, AsyncContext, Context, Handler, WrapFuture};
use tokio::sync::watch;

pub use self::handle::PersistenceHandle;
use super::connection::{Opener, StoreConnection, StoreSetupError};
use super::events::LastSeqs;
use super::file_lock::FileLock;
use super::group::{self, Write};
use super::journal::{self, Journal};
use super::messages::{
    Append, BroadcastProgress, ClaimSession, DeleteSessions, FenceNotes, Flush, LoadUser,
    LogPruned, NextBroadcast, ObservePruning, PersistencePort, ReadUnsettled, SaveFloors,
    SaveSessions, SettleNotes, ShareNote, StartBroadcast, StoreError, UnshareNote, Waiting,
    WriteNote,
};
use super::places::Places;
use super::port::port_to;
use super::readers::Readers;
use super::{broadcasts, many, notes as stored_notes};
use crate::clock;
use crate::config::{DatabaseConfig, RetentionConfig};
use crate::metrics::Metrics;
use crate::protocol::NodeNumber;

/// How often others have their turn, and may add to a group, before it is committed.
const GATHER_TURNS: u8 = 4;

/// Messages that may wait; the events in them are bounded by [`Waiting`].
const MAILBOX_MAX: usize = 16_384;

/// Writes kept for the next group while the database is away. Beyond, they are given up: the
/// log above the last written floor is sent again, more than it needs to be, and dead letters
/// are lost.
const KEPT_MAX: usize = 100_000;

/// A write, or a read that must see every write before it.
enum Job {
    Write(Write),
    Load(LoadUser),
    NextBroadcast(NextBroadcast),
    Unsettled(ReadUnsettled),
    Flush(Flush),
}

/// The actor.
pub struct Persistence {
    opener: Opener,
    readers: Readers,
    /// None after it broke, until the next group opens another.
    connection: Option<StoreConnection>,
    /// Where the database has one to be copied. Dropped after the other connections.
    journal: Option<Journal>,
    last: LastSeqs,
    places: Places,
    /// This node, where there are others that may write.
    here: Option<NodeNumber>,
    jobs: Vec<Job>,
    /// Writes of a failed group that nobody waits for: they go first in the next.
    kept: Vec<Write>,
    weight: usize,
    is_commit_due: bool,
    weight_max: usize,
    waiting: Waiting,
    retention: RetentionConfig,
    dead_letters_max: u64,
    is_pruning: bool,
    pruned: usize,
    observers: Vec<actix::Recipient<LogPruned>>,
    metrics: Metrics,
    /// Last: with these the database is free for another hub, and whoever waits for the end is told.
    _lock: Option<FileLock>,
    _ended: watch::Sender<()>,
}

impl std::fmt::Debug for Persistence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Persistence").finish_non_exhaustive()
    }
}

/// Says that other nodes write to this database too.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// This node: it writes to the slots it has, and to no other.
    pub here: NodeNumber,
    /// After which the database ends what this node does not go on with, in milliseconds.
    pub gives_up_ms: u64,
    /// What waits to be stored, in whichever database.
    pub waiting: Waiting,
}

impl Persistence {
    /// Opens the database, brings its schema up to date, and starts the actor on a thread of its own.
    ///
    /// # Errors
    /// When the database cannot be opened, another hub has it, or its schema cannot be brought up to date.
    pub fn start(
        database: &DatabaseConfig,
        retention: &RetentionConfig,
        dead_letters_max: u64,
        sharing: Option<Sharing>,
        metrics: Metrics,
    ) -> Result<PersistenceHandle, StoreSetupError> {
        let (actor, ended) = Self::new(database, retention, dead_letters_max, sharing, metrics)?;
        let waiting = actor.waiting.clone();
        let arbiter = Arbiter::new();
        let addr = Self::start_in_arbiter(&arbiter.handle(), |_| actor);
        let port = port(&addr, waiting);
        Ok(PersistenceHandle { port, arbiters: vec![arbiter], ended: vec![ended] })
    }

    /// The actor, and who hears of its end.
    pub(super) fn new(
        database: &DatabaseConfig,
        retention: &RetentionConfig,
        dead_letters_max: u64,
        sharing: Option<Sharing>,
        metrics: Metrics,
    ) -> Result<(Self, watch::Receiver<()>), StoreSetupError> {
        let mut opener = Opener::new(database)?;
        let lock = opener.lock()?;
        for migration in opener.migrate()? {
            log::info!("migrated the database to {migration}");
        }
        if let Some(sharing) = &sharing {
            opener = opener.giving_up(sharing.gives_up_ms);
        }
        let mut connection = opener.open_for_setup()?;
        let mut places = Places::default();
        places
            .take_over(&mut connection)
            .map_err(|error| StoreSetupError::Open(error.to_string()))?;
        let shared = sharing.as_ref().map(|sharing| sharing.waiting.clone());
        let waiting = shared.unwrap_or_else(|| Waiting::new(database.queue_max));
        let (ending, ended) = watch::channel(());
        let actor = Self {
            readers: Readers::start(&opener, database)?,
            journal: Journal::start(&opener)?,
            opener,
            connection: Some(connection),
            last: LastSeqs::default(),
            places,
            here: sharing.as_ref().map(|sharing| sharing.here),
            jobs: Vec::new(),
            kept: Vec::new(),
            weight: 0,
            is_commit_due: false,
            weight_max: database.group_max,
            waiting,
            retention: retention.clone(),
            dead_letters_max,
            is_pruning: false,
            pruned: 0,
            observers: Vec::new(),
            metrics,
            _lock: lock,
            _ended: ending,
        };
        Ok((actor, ended))
    }

    fn take(&mut self, job: Job, ctx: &mut Context<Self>) {
        if let Job::Write(write) = &job {
            self.weight += write.weight();
        }
        self.jobs.push(job);
        if self.weight >= self.weight_max {
            self.commit();
            return;
        }
        if !std::mem::replace(&mut self.is_commit_due, true) {
            self.gather(GATHER_TURNS, ctx);
        }
    }

    /// Commits once nothing was added since it was last looked, others having had their turn. A worker
    /// that waits for this very core hands over what it has first, and its groups are larger, its frames
    /// fewer. Where a core is free for it, that takes no time.
    fn gather(&mut self, turns: u8, ctx: &mut Context<Self>) {
        let weight = self.weight;
        // The mailbox is looked at before what is spawned.
        let others = async {
            std::thread::yield_now();
            tokio::task::yield_now().await;
        };
        ctx.spawn(others.into_actor(self).map(move |(), actor, ctx| {
            if turns > 1 && actor.weight > weight {
                actor.gather(turns - 1, ctx);
                return;
            }
            actor.is_commit_due = false;
            actor.commit();
        }));
    }

    fn commit(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let started = clock::now();
        let mut writes = std::mem::take(&mut self.kept);
        let (mut loads, mut after) = (Vec::new(), Vec::new());
        for job in std::mem::take(&mut self.jobs) {
            match job {
                Job::Write(write) => writes.push(write),
                Job::Load(load) => loads.push(load),
                Job::NextBroadcast(_) | Job::Unsettled(_) | Job::Flush(_) => {
                    after.push(job);
                }
            }
        }
        self.weight = 0;
        let (events, pages) = (writes.iter().map(Write::events).sum(), journal::pages(&writes));
        let (last, places) = (&mut self.last, &mut self.places);
        let done = match open(&self.opener, &mut self.connection) {
            Ok(connection) => group::commit(&writes, last, places, self.here, connection),
            Err(error) => Err(error),
        };
        self.note(&done.as_ref().map(|_| ()), events, started);
        let failed = done.as_ref().err().cloned();
        self.kept = answers::answer(writes, done, &self.waiting);
        if self.kept.len() > KEPT_MAX {
            log::error!("{} writes of sessions and dead letters are given up", self.kept.len());
            self.kept.clear();
        }
        match &failed {
            Some(error) => {
                let jobs = loads.into_iter().map(Job::Load).chain(after);
                jobs.for_each(|job| answers::refuse(job, error));
            }
            None => {
                self.load(loads);
                after.into_iter().for_each(|job| self.read_after(job));
                self.wrote(pages);
            }
        }
    }

    /// Takes note of what was written, once nobody waits for it any more.
    fn wrote(&mut self, pages: usize) {
        if let (Some(journal), Some(connection)) = (&mut self.journal, &mut self.connection) {
            journal.wrote(pages, connection);
        }
    }

    fn note(&mut self, done: &Result<(), &StoreError>, events: usize, started: Instant) {
        match done {
            Ok(()) if events > 0 => {
                self.metrics.group_committed(events, clock::now() - started);
            }
            Ok(()) => {}
            Err(error) => {
                log::error!("a group of {events} events was not stored: {error}");
                self.drop_broken();
            }
        }
    }

    /// A Postgres connection that saw an error is replaced; SQLite's is a file and stays good.
    fn drop_broken(&mut self) {
        if matches!(self.connection, Some(StoreConnection::Postgres(_))) {
            self.connection = None;
        }
    }

    /// Reads users who are needed, all at once.
    fn load(&mut self, loads: Vec<LoadUser>) {
        if loads.is_empty() {
            return;
        }
        let users: Vec<_> = loads.iter().map(|load| &load.user).collect();
        let loaded = open(&self.opener, &mut self.connection)
            .and_then(|connection| Ok(many::load(&users, self.places.recent(), connection)?));
        match loaded {
            Ok(snapshots) => {
                for (load, snapshot) in loads.into_iter().zip(snapshots) {
                    answers::loaded(load, Ok(snapshot));
                }
            }
            Err(error) => {
                loads.into_iter().for_each(|load| answers::refuse(Job::Load(load), &error));
                self.drop_broken();
            }
        }
    }

    fn read_after(&mut self, job: Job) {
        let connection = open(&self.opener, &mut self.connection);
        let failed = match job {
            // Those are done with by now.
            Job::Write(_) | Job::Load(_) => false,
            Job::NextBroadcast(next) => {
                let result = connection.and_then(|c| Ok(broadcasts::next(next.users_max, c)?));
                let failed = result.is_err();
                let _ = next.reply.send(result);
                failed
            }
            Job::Unsettled(ReadUnsettled { limit, reply }) => {
                let result = connection.and_then(|c| Ok(stored_notes::unsettled(limit, c)?));
                let failed = result.is_err();
                let _ = reply.send(result.map_err(Into::into));
                failed
            }
            Job::Flush(Flush(reply)) => {
                let _ = reply.send(());
                false
            }
        };
        if failed {
            self.drop_broken();
        }
    }
}

/// The writing connection, opened anew after it broke.
fn open<'a>(
    opener: &Opener,
    connection: &'a mut Option<StoreConnection>,
) -> Result<&'a mut StoreConnection, StoreError> {
    match connection {
        Some(open) => Ok(open),
        None => {
            let opened = opener.open().map_err(|error| StoreError::Database(error.to_string()))?;
            Ok(connection.insert(opened))
        }
    }
}

fn port(addr: &Addr<Persistence>, waiting: Waiting) -> PersistencePort {
    port_to!(addr, {
        notes: notes::port(addr),
        dead_letters: dead_letters::port(addr),
        pushes: pushes::port(addr),
        waiting,
    })
}

impl Actor for Persistence {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let interval = Duration::from_millis(self.retention.prune_interval_ms);
        ctx.run_interval(interval, |actor, ctx| actor.start_pruning(ctx));
    }
}

macro_rules! collect {
    ($message:ident => $job:expr) => {
        impl Handler<$message> for Persistence {
            type Result = ();

            fn handle(&mut self, message: $message, ctx: &mut Self::Context) {
                self.take($job(message), ctx);
            }
        }
    };
}

collect!(Append => |append| Job::Write(Write::Append(append)));
collect!(SaveSessions => |save| Job::Write(Write::SaveSessions(save)));
collect!(SaveFloors => |save| Job::Write(Write::SaveFloors(save)));
collect!(DeleteSessions => |delete| Job::Write(Write::DeleteSessions(delete)));
collect!(ClaimSession => |claim| Job::Write(Write::Claim(claim)));
collect!(StartBroadcast => |start| Job::Write(Write::StartBroadcast(start)));
collect!(BroadcastProgress => |progress| Job::Write(Write::BroadcastProgress(progress)));
collect!(WriteNote => |write| Job::Write(Write::Note(write)));
collect!(ShareNote => |share| Job::Write(Write::ShareNote(share)));
collect!(UnshareNote => |unshare| Job::Write(Write::UnshareNote(unshare)));
collect!(FenceNotes => |fence| Job::Write(Write::FenceNotes(fence)));
collect!(SettleNotes => |settle| Job::Write(Write::SettleNotes(settle)));
collect!(LoadUser => Job::Load);
collect!(NextBroadcast => Job::NextBroadcast);
collect!(ReadUnsettled => Job::Unsettled);
collect!(Flush => Job::Flush);

impl Handler<ObservePruning> for Persistence {
    type Result = ();

    fn handle(&mut self, ObservePruning(observer): ObservePruning, _ctx: &mut Self::Context) {
        self.observers.push(observer);
    }
}
