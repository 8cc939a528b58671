//! Connections come and go: which session they get, what it is told first, who is replaced.

use super::{AttachRequest, Due, Entry, Moment, PendingTable, Waiting};
use crate::delivery::messages::{AttachKind, Attached, DropReason};
use crate::delivery::output::{Answer, Output};
use crate::delivery::session::{Link, Session};
use crate::delivery::user::{Tenant, User};
use crate::persistence::messages::{Claim, StoreError, Ticket};
use crate::protocol::{
    Accounts, CloseCode, ConnectionId, OfflinePolicy, Push, SessionId, SessionRecord,
    SessionRequest, UserId,
};

/// A session's `seen_at` is written again when it is older than this, in milliseconds.
const SEEN_WRITE_MS: i64 = 3_600_000;

impl PendingTable {
    /// Attaches a connection to its user, or says why not.
    pub fn attach(
        &mut self,
        ticket: Ticket,
        user: &UserId,
        request: AttachRequest,
        moment: Moment,
    ) {
        self.wall = moment.wall;
        if !matches!(self.users.get(user), Some(Entry::Loaded(_))) {
            self.wait(user, Waiting::Attach(ticket, request));
            return;
        }
        if self.greet_again(ticket, user, &request) {
            return;
        }
        self.detach(user, request.connection, moment);
        let connections_max = self.limits.connections_max;
        let Some(loaded) = self.loaded_mut(user) else { return };
        loaded.touched = Some(moment.now);
        let frees = usize::from(loaded.would_lose_one_to(&request.kind));
        if loaded.connections.len() - frees >= connections_max {
            self.answer_attach(ticket, Attached::TooManyConnections);
            return;
        }
        let (session, fresh) = match request.kind.clone() {
            AttachKind::Reliable { session, fresh, .. } => (session, fresh),
            AttachKind::Plain { greeting, accounts } => {
                self.attach_plain(ticket, user, request, (Some(greeting), accounts), moment);
                return;
            }
            AttachKind::Again { session, accounts } => {
                self.attach_again(ticket, user, session, (request, accounts), moment);
                return;
            }
        };
        match session {
            SessionRequest::Plain | SessionRequest::New => {
                self.create(user, &fresh, &request, moment);
                self.attach_known(ticket, user, &fresh, request, moment);
            }
            SessionRequest::Named(name) if loaded.sessions.contains_key(&name) => {
                self.attach_known(ticket, user, &name, request, moment);
            }
            SessionRequest::Named(name) => {
                loaded.asked += 1;
                let record = fresh_record(&name, loaded, &request, moment);
                self.claims.insert(ticket, (user.clone(), request));
                self.outputs.push(Output::Claim { ticket, user: user.clone(), record });
            }
        }
    }

    /// Takes the answer to a claim: the name is the user's, or it goes on under a fresh one.
    pub fn claimed(&mut self, ticket: Ticket, result: Result<Claim, StoreError>, moment: Moment) {
        let Some((user, request)) = self.claims.remove(&ticket) else { return };
        let connections_max = self.limits.connections_max;
        let Some(loaded) = self.loaded_mut(&user) else {
            self.answer_attach(ticket, Attached::Unavailable);
            return;
        };
        loaded.asked -= 1;
        let AttachKind::Reliable { session: SessionRequest::Named(name), fresh, .. } =
            request.kind.clone()
        else {
            return;
        };
        let is_known = loaded.sessions.contains_key(&name);
        // Others may have attached while the name was being claimed.
        let frees = usize::from(loaded.would_lose_one_to(&request.kind));
        if result.is_ok() && loaded.connections.len() - frees >= connections_max {
            if matches!(result, Ok(Claim::Created)) && !is_known {
                self.outputs.push(Output::DeleteSession(user, name));
            }
            self.answer_attach(ticket, Attached::TooManyConnections);
            return;
        }
        match result {
            Ok(Claim::Created) | Ok(Claim::Taken) if is_known => {
                // Another connection of this user was quicker with the same name.
                self.attach_known(ticket, &user, &name, request, moment);
            }
            Ok(Claim::Created) => {
                self.create(&user, &name, &request, moment);
                self.attach_known(ticket, &user, &name, request, moment);
            }
            Ok(Claim::Taken) => {
                self.create(&user, &fresh, &request, moment);
                self.attach_known(ticket, &user, &fresh, request, moment);
            }
            Err(error) => {
                log::warn!("a session of {user:?} was not created: {error}");
                self.answer_attach(ticket, Attached::Unavailable);
            }
        }
    }

    /// Takes note that a connection is gone.
    pub fn detach(&mut self, user: &UserId, connection: ConnectionId, moment: Moment) {
        self.wall = moment.wall;
        let Some(loaded) = self.loaded_mut(user) else { return };
        let Some(tenant) = loaded.connections.remove(&connection) else { return };
        loaded.touched = Some(moment.now);
        self.notice_closed(user, tenant.session(), None);
        let Tenant::Reliable(session) = tenant else { return };
        self.unlink(user, &session, moment);
    }

    /// Takes note that a client finished its full sync.
    pub fn sync_complete(&mut self, user: &UserId, connection: ConnectionId) {
        let Some(loaded) = self.loaded_mut(user) else { return };
        let Some(Tenant::Reliable(session)) = loaded.connections.get(&connection) else { return };
        let Some(session) = loaded.sessions.get_mut(session) else { return };
        if session.need_full_sync {
            session.need_full_sync = false;
            let record = session.record();
            self.outputs.push(Output::SaveSession { user: user.clone(), record });
        }
    }

    /// Forgets a session; says whether there was one.
    pub(super) fn forget(
        &mut self,
        user: &UserId,
        session: &SessionId,
        code: CloseCode,
        reason: DropReason,
    ) -> bool {
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return false };
        let complete = loaded.desert_waiters(session);
        let Some(mut known) = loaded.sessions.remove(session) else { return false };
        for entry in known.window.abandon(loaded.last_seq) {
            self.traces.dropped(entry.content.id, entry.trace, reason, self.wall);
        }
        if let Some(link) = known.link {
            loaded.connections.remove(&link.connection);
            self.outputs.push(Output::Close { connection: link.connection, code });
            self.notice_closed(user, Some(session), Some(code));
        }
        self.outputs.push(Output::DeleteSession(user.clone(), session.clone()));
        for waiter in complete {
            self.finish(waiter);
        }
        true
    }

    /// Ends a connection that the table is done with. Its session stays.
    pub(super) fn disconnect(&mut self, user: &UserId, connection: ConnectionId, code: CloseCode) {
        let Some(loaded) = self.loaded_mut(user) else { return };
        let tenant = loaded.connections.remove(&connection);
        if let Some(Tenant::Reliable(session)) = &tenant {
            if let Some(known) = loaded.sessions.get_mut(session) {
                known.link = None;
                known.reading = None;
            }
            for waiter in loaded.desert_waiters(session) {
                self.finish(waiter);
            }
        }
        self.outputs.push(Output::Close { connection, code });
        if let Some(tenant) = tenant {
            self.notice_closed(user, tenant.session(), Some(code));
        }
    }

    /// Sessions that were in the middle of something when the hub last stopped are looked at
    /// like sessions whose connection was just lost.
    pub(super) fn expect_back(&mut self, user: &UserId, moment: Moment) {
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        let look_at = moment.now + self.limits.retry.ack_wait;
        for session in loaded.sessions.values_mut() {
            let is_owed = session.owed(loaded.last_seq) > 0;
            if is_owed && session.policy == OfflinePolicy::FullSync {
                session.look_at = Some(look_at);
                session.scheduled = Some(look_at);
                self.due.push(look_at, Due::Session(user.clone(), session.id.clone()));
            }
        }
    }

    /// Answers an `auth` on a connection that already is what it asks to be.
    fn greet_again(&mut self, ticket: Ticket, user: &UserId, request: &AttachRequest) -> bool {
        let connection = request.connection;
        let Some(loaded) = self.loaded_mut(user) else { return false };
        let mut changed = None;
        let (push, session) = match (loaded.connections.get_mut(&connection), &request.kind) {
            (
                Some(Tenant::Plain { accounts, .. }),
                AttachKind::Plain { greeting, accounts: new },
            ) => {
                accounts.clone_from(new);
                (greeting.clone(), None)
            }
            (
                Some(Tenant::Reliable(id)),
                AttachKind::Reliable { session, offline, confirm_sync, accounts, .. },
            ) => {
                let is_other = matches!(session, SessionRequest::Named(name) if name != id);
                let Some(known) = loaded.sessions.get_mut(id) else { return false };
                if is_other {
                    return false;
                }
                let (is_picked_anew, is_wider) = known.pick_for(accounts);
                let was_needed = known.need_full_sync;
                let need_full_sync = was_needed || is_wider;
                known.need_full_sync = need_full_sync && *confirm_sync;
                let policy = offline.unwrap_or(known.policy);
                let is_kept = (known.need_full_sync, policy) == (was_needed, known.policy);
                if !is_kept || is_picked_anew {
                    known.policy = policy;
                    changed = Some(known.record());
                }
                if let Some(link) = &mut known.link {
                    link.accounts.clone_from(accounts);
                }
                let cursor = known.window.floor();
                let (user, session) = (user.clone(), id.clone());
                (Push::AuthOk { user, session, need_full_sync, cursor }, Some(id.clone()))
            }
            (Some(Tenant::Plain { .. }), AttachKind::Reliable { .. })
            | (Some(Tenant::Reliable(_)), AttachKind::Plain { .. })
            | (Some(_), AttachKind::Again { .. })
            | (None, _) => return false,
        };
        if let Some(record) = changed {
            self.outputs.push(Output::SaveSession { user: user.clone(), record });
        }
        self.outputs.push(Output::Say { connection, push });
        self.answer_attach(ticket, Attached::Attached { session });
        true
    }

    pub(super) fn attach_plain(
        &mut self,
        ticket: Ticket,
        user: &UserId,
        request: AttachRequest,
        (greeting, accounts): (Option<Push>, Accounts),
        moment: Moment,
    ) {
        let AttachRequest { connection, dialect, .. } = request;
        let Some(loaded) = self.loaded_mut(user) else { return };
        let tenant = Tenant::Plain { dialect, since: moment.wall, accounts };
        loaded.connections.insert(connection, tenant);
        self.outputs.push(match greeting {
            Some(push) => Output::Say { connection, push },
            None => Output::Resumed { connection },
        });
        self.answer_attach(ticket, Attached::Attached { session: None });
        self.notice_opened(user, None, dialect);
    }

    /// Adds a session to a user, in place of the one longest away if there are too many.
    fn create(&mut self, user: &UserId, name: &SessionId, request: &AttachRequest, moment: Moment) {
        let sessions_max = self.limits.sessions_max;
        let Some(loaded) = self.loaded_mut(user) else { return };
        let record = fresh_record(name, loaded, request, moment);
        if loaded.sessions.len() >= sessions_max {
            let oldest = loaded
                .sessions
                .values()
                .filter(|session| session.link.is_none())
                .min_by_key(|session| session.acked_at.unwrap_or_default().max(session.seen_at))
                .map(|session| session.id.clone());
            if let Some(oldest) = oldest {
                log::info!("{oldest:?} of {user:?} is forgotten: too many sessions");
                self.forget(user, &oldest, CloseCode::LimitExceeded, DropReason::TooManyOwed);
            }
        }
        if let Some(loaded) = self.loaded_mut(user) {
            loaded.sessions.insert(name.clone(), Box::new(Session::from_record(record)));
        }
    }

    fn attach_known(
        &mut self,
        ticket: Ticket,
        user: &UserId,
        name: &SessionId,
        request: AttachRequest,
        moment: Moment,
    ) {
        let AttachKind::Reliable { offline, confirm_sync, accounts, .. } = request.kind else {
            return;
        };
        let connection = request.connection;
        let owed_max = self.limits.owed_max;
        let Some(Entry::Loaded(loaded)) = self.users.get_mut(user) else { return };
        let (last_seq, pruned) = (loaded.last_seq, loaded.pruned);
        let Some(session) = loaded.sessions.get_mut(name) else { return };

        let replaced = session.connection();
        let is_new_policy = offline.is_some_and(|policy| policy != session.policy);
        session.policy = offline.unwrap_or(session.policy);
        let is_behind = session.window.floor() < pruned || session.owed(last_seq) > owed_max;
        let (is_picked_anew, is_wider) = session.pick_for(&accounts);
        let need_full_sync = session.need_full_sync || is_behind || is_wider;
        if need_full_sync {
            for entry in session.window.abandon(last_seq) {
                self.traces.dropped(
                    entry.content.id,
                    entry.trace,
                    DropReason::ConnectionLost,
                    self.wall,
                );
            }
        }
        session.need_full_sync = need_full_sync && confirm_sync;
        session.link = Some(Link { connection, dialect: request.dialect, accounts });
        session.reading = None;
        session.look_at = None;
        let is_stale = moment.wall.0 - session.seen_at.0 > SEEN_WRITE_MS;
        let cursor = session.window.floor();
        if need_full_sync || is_new_policy || is_picked_anew || is_stale {
            session.seen_at = moment.wall;
            let (user, record) = (user.clone(), session.record());
            self.outputs.push(Output::SaveSession { user, record });
        }

        loaded.connections.insert(connection, Tenant::Reliable(name.clone()));
        if let Some(replaced) = replaced {
            loaded.connections.remove(&replaced);
            self.outputs.push(Output::Close { connection: replaced, code: CloseCode::Replaced });
            self.notice_closed(user, Some(name), Some(CloseCode::Replaced));
        }
        let (owner, session) = (user.clone(), name.clone());
        let push = Push::AuthOk { user: owner, session, need_full_sync, cursor };
        self.outputs.push(Output::Say { connection, push });
        self.answer_attach(ticket, Attached::Attached { session: Some(name.clone()) });
        self.notice_opened(user, Some(name), request.dialect);
        self.resume(user, name, moment);
    }

    fn unlink(&mut self, user: &UserId, session: &SessionId, moment: Moment) {
        let look_at = moment.now + self.limits.retry.ack_wait;
        let Some(loaded) = self.loaded_mut(user) else { return };
        let last_seq = loaded.last_seq;
        if let Some(known) = loaded.sessions.get_mut(session) {
            known.link = None;
            known.reading = None;
            known.look_at = None;
            if known.owed(last_seq) > 0 && known.window.due_at().is_none() {
                known.look_at = Some(look_at);
            }
        }
        for waiter in loaded.desert_waiters(session) {
            self.finish(waiter);
        }
        self.schedule(user, session);
    }

    pub(super) fn answer_attach(&mut self, ticket: Ticket, attached: Attached) {
        self.outputs.push(Output::Answer(ticket, Answer::Attached(attached)));
    }
}

/// A session that has nothing yet.
fn fresh_record(
    name: &SessionId,
    user: &User,
    request: &AttachRequest,
    moment: Moment,
) -> SessionRecord {
    let (policy, accounts) = match &request.kind {
        AttachKind::Plain { .. } | AttachKind::Again { .. } => (OfflinePolicy::FullSync, None),
        AttachKind::Reliable { offline, offline_default, accounts, .. } => {
            (offline.unwrap_or(*offline_default), accounts.listed().cloned())
        }
    };
    SessionRecord {
        id: name.clone(),
        floor: user.last_seq,
        need_full_sync: true,
        policy,
        created_at: moment.wall,
        seen_at: moment.wall,
        acked_at: None,
        accounts,
    }
}
