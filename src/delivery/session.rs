//! One session in memory: its window, its connection, and what its next `auth_ok` must say.

use std::sync::Arc;
use std::time::Instant;

use super::messages::SessionStatus;
use super::window::Window;
use crate::dialect::DialectKind;
use crate::persistence::messages::Ticket;
use crate::protocol::{
    Accounts, ConnectionId, EventContent, OfflinePolicy, Seq, SessionId, SessionRecord, Timestamp,
    only_session,
};

/// A live connection of a session.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Which.
    pub(super) connection: ConnectionId,
    /// How it spells.
    pub(super) dialect: DialectKind,
    /// What its token is limited to.
    pub(super) accounts: Accounts,
}

/// One session of a loaded user.
#[derive(Debug)]
pub(super) struct Session {
    /// Its name.
    pub(super) id: SessionId,
    /// What it is owed.
    pub(super) window: Window,
    /// What becomes of events while it is away.
    pub(super) policy: OfflinePolicy,
    /// Its next `auth_ok` says so.
    pub(super) need_full_sync: bool,
    /// Its connection, while there is one.
    pub(super) link: Option<Link>,
    /// A piece of the log is being read for it.
    pub(super) reading: Option<Ticket>,
    /// When to look at it again although nothing may be in flight: the log could not be read,
    /// or its connection was lost while something was owed.
    pub(super) look_at: Option<Instant>,
    /// The deadline it has in the due queue.
    pub(super) scheduled: Option<Instant>,
    /// Its floor changed since it was written.
    pub(super) floor_dirty: bool,
    /// When it was first seen.
    pub(super) created_at: Timestamp,
    /// When it was last attached or detached, as far as written.
    pub(super) seen_at: Timestamp,
    /// When it last acked.
    pub(super) acked_at: Option<Timestamp>,
    /// The accounts its events were picked for; none: all.
    accounts: Option<Arc<[Box<str>]>>,
}

impl Session {
    /// A session as it rests in the database.
    pub(super) fn from_record(record: SessionRecord) -> Self {
        Self {
            id: record.id,
            window: Window::new(record.floor),
            policy: record.policy,
            need_full_sync: record.need_full_sync,
            link: None,
            reading: None,
            look_at: None,
            scheduled: None,
            floor_dirty: false,
            created_at: record.created_at,
            seen_at: record.seen_at,
            acked_at: record.acked_at,
            accounts: record.accounts,
        }
    }

    /// What is written of it.
    pub(super) fn record(&self) -> SessionRecord {
        SessionRecord {
            id: self.id.clone(),
            floor: self.window.floor(),
            need_full_sync: self.need_full_sync,
            policy: self.policy,
            created_at: self.created_at,
            seen_at: self.seen_at,
            acked_at: self.acked_at,
            accounts: self.accounts.clone(),
        }
    }

    /// Picks events for these accounts from now on. Says whether that is a change, and whether
    /// events it was not sent so far may now be for it.
    pub(super) fn pick_for(&mut self, accounts: &Accounts) -> (bool, bool) {
        let is_changed = self.accounts.as_ref() != accounts.listed();
        let is_wider = !accounts.are_among(self.accounts.as_ref());
        self.accounts = accounts.listed().cloned();
        (is_changed, is_wider)
    }

    /// How many places of a log that ends at `last` it has not settled. An upper bound: some may
    /// turn out not to be for this session.
    pub(super) fn owed(&self, last: Seq) -> u64 {
        if self.need_full_sync && self.link.is_none() {
            return 0;
        }
        u64::try_from(last.0 - self.window.floor().0).unwrap_or(0)
    }

    /// Whether this event is for this session at all. While it is away nobody knows what the
    /// token of its next connection will be limited to.
    pub(super) fn is_for(&self, content: &EventContent) -> bool {
        let accounts = self.link.as_ref().map(|link| &link.accounts);
        content.exclude_session.as_ref() != Some(&self.id)
            && accounts.is_none_or(|accounts| accounts.list(content.account.as_deref()))
            && only_session(content).is_none_or(|only| {
                *only == *self.id.as_str() || accounts.is_some_and(|accounts| accounts.is_of(&only))
            })
    }

    /// Its connection, while there is one.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        self.link.as_ref().map(|link| link.connection)
    }

    /// When to look at it again.
    pub(super) fn due_at(&mut self) -> Option<Instant> {
        match (self.window.due_at(), self.look_at) {
            (Some(due_at), Some(look_at)) => Some(due_at.min(look_at)),
            (due_at, look_at) => due_at.or(look_at),
        }
    }

    /// Has it looked at then, if it is away and must do a full sync for what it is owed now, unless it
    /// is looked at anyway.
    pub(super) fn look_for(&mut self, at: Instant) {
        let is_lost = self.link.is_none() && self.policy == OfflinePolicy::FullSync;
        if is_lost && self.due_at().is_none() {
            self.look_at = Some(at);
        }
    }

    /// What an administrator sees of it.
    pub(super) fn status(&self, last: Seq) -> SessionStatus {
        SessionStatus {
            session: Some(self.id.clone()),
            connection: self.link.as_ref().map(|link| (link.connection, link.dialect)),
            policy: Some(self.policy),
            need_full_sync: self.need_full_sync,
            floor: self.window.floor(),
            pending: self.owed(last),
            in_flight: self.window.in_flight(),
            created_at: self.created_at,
            acked_at: self.acked_at,
        }
    }
}
