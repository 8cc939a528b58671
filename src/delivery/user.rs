//! One user in memory: sessions, connections, and publishers that wait for acks.

use std::collections::HashSet;
use std::time::Instant;

use super::few::Few;
use super::messages::{AttachKind, Receipt, WaitOutcome};
use super::session::Session;
use super::tail::Tail;
use crate::dialect::DialectKind;
use crate::persistence::messages::{Ticket, UserSnapshot};
use crate::protocol::{Accounts, ConnectionId, Seq, SessionId, SessionRequest, Timestamp};

/// Who has a connection.
#[derive(Clone, Debug)]
pub(super) enum Tenant {
    /// Nobody durable: it gets events while it lasts.
    Plain {
        /// How it spells.
        dialect: DialectKind,
        /// Since when.
        since: Timestamp,
        /// What its token is limited to.
        accounts: Accounts,
    },
    /// A session.
    Reliable(SessionId),
}

impl Tenant {
    /// The session, if there is one.
    pub(super) fn session(&self) -> Option<&SessionId> {
        match self {
            Tenant::Plain { .. } => None,
            Tenant::Reliable(session) => Some(session),
        }
    }
}

/// A publisher that waits until every live session acked.
#[derive(Debug)]
pub(super) struct Waiter {
    /// Its request.
    pub(super) ticket: Ticket,
    /// Which place.
    pub(super) seq: Seq,
    /// The sessions it still waits for.
    pub(super) remaining: HashSet<SessionId>,
    /// What it will be told.
    pub(super) receipt: Receipt,
    /// Who acked, and who is gone.
    pub(super) outcome: WaitOutcome,
}

impl Waiter {
    /// What the publisher is told.
    pub(super) fn finish(self) -> (Ticket, Receipt) {
        let mut outcome = self.outcome;
        outcome.unacked.extend(self.remaining);
        outcome.unacked.sort_unstable();
        (self.ticket, Receipt { acked: Some(outcome), ..self.receipt })
    }
}

/// One loaded user.
#[derive(Debug, Default)]
pub(super) struct User {
    /// The last durable place of the log.
    pub(super) last_seq: Seq,
    /// Everything at or below is no longer in the log.
    pub(super) pruned: Seq,
    /// Every durable session, live or not.
    pub(super) sessions: Few<SessionId, Box<Session>>,
    /// Every live connection.
    pub(super) connections: Few<ConnectionId, Tenant>,
    /// The end of the log, while a live session is behind it.
    pub(super) tail: Tail,
    /// Publishers that wait for acks.
    pub(super) waiters: Vec<Waiter>,
    /// Appends and claims that are not answered yet.
    pub(super) asked: usize,
    /// When it was last of use.
    pub(super) touched: Option<Instant>,
}

impl User {
    /// A user as it rests in the database.
    pub(super) fn from_snapshot(snapshot: UserSnapshot) -> Self {
        let sessions = snapshot
            .sessions
            .into_iter()
            .map(|record| (record.id.clone(), Box::new(Session::from_record(record))))
            .collect();
        Self { last_seq: snapshot.last_seq, pruned: snapshot.pruned, sessions, ..Self::default() }
    }

    /// Whether a connection that attaches so takes the place of another of its session.
    pub(super) fn would_lose_one_to(&self, kind: &AttachKind) -> bool {
        let name = match kind {
            AttachKind::Again { session: Some(name), .. }
            | AttachKind::Reliable { session: SessionRequest::Named(name), .. } => name,
            AttachKind::Plain { .. } | AttachKind::Again { .. } | AttachKind::Reliable { .. } => {
                return false;
            }
        };
        self.sessions.get(name).is_some_and(|session| session.link.is_some())
    }

    /// Whether a live session waits for what is in the log already.
    pub(super) fn is_anyone_behind(&self) -> bool {
        let mut sessions = self.sessions.values();
        sessions.any(|session| session.link.is_some() && session.window.next() <= self.last_seq)
    }

    /// Whether nothing would be lost by forgetting it until it is needed again.
    pub(super) fn is_idle(&self) -> bool {
        self.connections.is_empty()
            && self.waiters.is_empty()
            && self.asked == 0
            && self
                .sessions
                .values()
                .all(|session| session.scheduled.is_none() && !session.floor_dirty)
    }

    /// Whether a session's acks above its floor would be forgotten with it.
    pub(super) fn knows_more_than_the_floors(&self) -> bool {
        self.sessions.values().any(|session| session.window.knows_more_than_the_floor())
    }

    /// Settles `session`'s part of every waiter it satisfies; says which are complete.
    pub(super) fn settle_waiters(&mut self, session: &SessionId) -> Vec<Waiter> {
        let Some(window) = self.sessions.get(session).map(|session| &session.window) else {
            return Vec::new();
        };
        for waiter in &mut self.waiters {
            if window.is_settled(waiter.seq) && waiter.remaining.remove(session) {
                waiter.outcome.acked.push(session.clone());
            }
        }
        self.complete_waiters()
    }

    /// Stops waiting for a session that is no longer live; says which waiters are complete.
    pub(super) fn desert_waiters(&mut self, session: &SessionId) -> Vec<Waiter> {
        for waiter in &mut self.waiters {
            if waiter.remaining.remove(session) {
                waiter.outcome.unacked.push(session.clone());
            }
        }
        self.complete_waiters()
    }

    fn complete_waiters(&mut self) -> Vec<Waiter> {
        self.waiters.extract_if(.., |waiter| waiter.remaining.is_empty()).collect()
    }
}
