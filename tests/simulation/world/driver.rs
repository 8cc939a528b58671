//! Does what the core decides, as the actors would, and tells it what came of it.

use staffetta::delivery::messages::{Attached, PublishError, Receipt, Revoked};
use staffetta::delivery::output::{Answer, Output};
use staffetta::protocol::{Ack, ConnectionId, Event, HubEvent, Push};
use staffetta::registry::messages::SendKind;

use super::{Open, Promise, Sabotage, WINDOW, World};
use crate::client::Frame;
use crate::store::{self, Job};

impl World {
    /// Until the core has nothing more to say.
    pub(crate) fn drive(&mut self) {
        loop {
            let outputs = self.table.take_outputs();
            let answers = std::mem::take(&mut self.answers);
            if outputs.is_empty() && answers.is_empty() {
                return;
            }
            for output in outputs {
                self.perform(output);
            }
            // After what was decided: a floor must not be written before the mark beside it.
            // A few at a time; the rest after the next.
            let max = 1 + self.store.waiting.len() % 3;
            for floor in self.table.take_floors(max) {
                self.note(|| format!("floor {floor:?}"));
                self.store.waiting.push_back(Job::Floor(floor.session, floor.floor));
            }
            for answer in answers {
                self.tell(answer);
            }
        }
    }

    fn tell(&mut self, answer: store::Answer) {
        let moment = self.moment();
        match answer {
            store::Answer::Appended(ticket, result) => self.table.appended(ticket, result, moment),
            store::Answer::Claimed(ticket, result) => self.table.claimed(ticket, result, moment),
            store::Answer::Loaded(user, result) => self.table.loaded(&user, result, moment),
            store::Answer::Read(user, session, ticket, result) => {
                self.table.log_read(&user, &session, ticket, result, moment);
            }
        }
    }

    fn perform(&mut self, output: Output) {
        self.performed += 1;
        assert!(self.performed < 100_000, "it runs away: {output:?}");
        match output {
            Output::FanOut { user, frames, targets, kind, .. } => {
                let event = frames.event();
                assert!(!targets.is_empty());
                for target in targets {
                    let owner = self.owners[&target];
                    assert_eq!(self.users[self.clients[owner].user], user, "another user's event");
                    self.send(owner, target, event, kind);
                }
            }
            Output::Say { connection, push } => self.say(connection, push),
            Output::Close { connection, .. } => {
                self.sent.remove(&connection);
                self.to(connection, Frame::Close);
            }
            Output::Resumed { .. } => {}
            Output::Notice(event) => self.hear(event),
            Output::Append(event) => self.store.waiting.push_back(Job::Append(event)),
            Output::Claim { ticket, user, record } => {
                self.store.waiting.push_back(Job::Claim(ticket, user, record));
            }
            Output::SaveSession { user, record } => {
                self.note(|| format!("save {record:?}"));
                self.store.waiting.push_back(Job::Save(user, record));
            }
            Output::DeleteSession(_, session) => self.store.waiting.push_back(Job::Delete(session)),
            Output::LoadUser(user) => self.store.waiting.push_back(Job::Load(user)),
            Output::ReadLog { user, session, ticket, after, events_max, .. } => {
                assert!((1..=WINDOW).contains(&events_max));
                self.store.waiting.push_back(Job::Read(user, session, ticket, after, events_max));
            }
            Output::Answer(ticket, answer) => {
                let open = self.open.remove(&ticket).unwrap_or_else(|| panic!("answered twice"));
                self.answered(open, answer);
            }
        }
    }

    /// A session is opened and closed in turn, and is given up or settles something only between.
    fn hear(&mut self, event: HubEvent) {
        match &event {
            HubEvent::SessionOpened { session: Some(session), .. } => {
                assert!(self.online.insert(session.clone()), "opened twice: {event:?}");
            }
            HubEvent::SessionClosed { session: Some(session), .. } => {
                assert!(self.online.remove(session), "closed twice: {event:?}");
            }
            HubEvent::GaveUp { session, .. } | HubEvent::DeliverySettled { session, .. } => {
                assert!(self.online.contains(session), "not open: {event:?}");
            }
            HubEvent::SessionOpened { session: None, .. }
            | HubEvent::SessionClosed { session: None, .. } => {}
        }
    }

    fn send(&mut self, owner: usize, target: ConnectionId, event: &Event, kind: SendKind) {
        let Some(seq) = event.seq else {
            self.to(target, Frame::Event(event.clone()));
            return;
        };
        self.note(|| format!("{kind:?} of {seq} to client {owner} on {target}"));
        if let Some(session) = self.names.get(&target) {
            let settled = self.settled.get(session);
            let is_settled = settled.is_some_and(|settled| settled.contains(&seq.0));
            assert!(!is_settled, "{seq} was settled and is sent again");
            assert_ne!(event.content.exclude_session.as_ref(), Some(session), "it is excluded");
            assert!(!event.content.is_expired(self.moment().wall) || kind == SendKind::First);
        }
        if let Some(sent) = self.sent.get_mut(&target) {
            let is_new = sent.insert(seq.0);
            assert_eq!(is_new, kind == SendKind::First, "{seq} on {target}");
        }
        self.check_window(target);
        match self.sabotage {
            Sabotage::StealAcks if kind == SendKind::First && self.random.chance(5) => {
                let user = self.users[self.clients[owner].user].clone();
                let ack = Ack::Event(event.id());
                self.table.ack(&user, target, &ack, self.moment());
                return;
            }
            Sabotage::CrossUsers if self.random.chance(5) => {
                let user = self.clients[owner].user;
                let other = self.clients.iter().position(|client| client.user != user);
                let other = other.filter(|other| self.clients[*other].connection.is_some());
                if let Some(other) = other {
                    let is_theirs = self.clients[other].user == user;
                    assert!(is_theirs, "another user's event");
                }
            }
            Sabotage::None
            | Sabotage::ForgetFullSync
            | Sabotage::StealAcks
            | Sabotage::CrossUsers => {}
        }
        self.to(target, Frame::Event(event.clone()));
    }

    /// What was sent on a connection and is neither settled nor expired is within the window.
    fn check_window(&self, target: ConnectionId) {
        let (Some(session), Some(sent)) = (self.names.get(&target), self.sent.get(&target)) else {
            return;
        };
        let settled = self.settled.get(session);
        let user = &self.users[self.clients[self.owners[&target]].user];
        let (log, now) = (&self.store.logs[user], self.moment().wall);
        let is_in_flight = |seq: &&i64| {
            settled.is_none_or(|settled| !settled.contains(*seq))
                && log.events.get(*seq).is_some_and(|event| !event.is_expired(now))
        };
        let in_flight = sent.iter().filter(is_in_flight).count();
        assert!(in_flight <= WINDOW, "{in_flight} are in flight on {target}");
    }

    fn say(&mut self, connection: ConnectionId, push: Push) {
        match push {
            Push::AuthOk { user, session, need_full_sync, cursor } => {
                let owner = self.owners[&connection];
                assert_eq!(self.users[self.clients[owner].user], user);
                self.note(|| format!("auth_ok to client {owner}: {need_full_sync} at {cursor}"));
                self.sent.entry(connection).or_default();
                self.names.insert(connection, session.clone());
                if need_full_sync {
                    self.settled.remove(&session);
                    let client = &mut self.clients[owner];
                    if !client.confirms && self.sabotage != Sabotage::ForgetFullSync {
                        client.told_to = client.told_to.max(cursor.0);
                    }
                }
                let forgets = self.sabotage == Sabotage::ForgetFullSync;
                let need_full_sync = need_full_sync && !forgets;
                self.to(connection, Frame::AuthOk { session, need_full_sync });
            }
            Push::AuthSuccess { .. } => {
                let owner = self.owners[&connection];
                self.clients[owner].attached = true;
            }
            other => panic!("unexpected: {other:?}"),
        }
    }

    /// Puts a frame on its way, unless the connection is gone.
    fn to(&mut self, connection: ConnectionId, frame: Frame) {
        let owner = self.owners[&connection];
        if self.clients[owner].connection == Some(connection) {
            self.clients[owner].inbox.push_back(frame);
        } else {
            let user = self.clients[owner].user;
            if !self.detaches.contains(&(user, connection)) {
                self.detaches.push((user, connection));
            }
        }
    }

    /// Notes what an ack settles, if the core still believes in the connection.
    pub(crate) fn settle(&mut self, index: usize, connection: ConnectionId, ack: &Ack) {
        self.note(|| format!("client {index} acks {ack:?} on {connection}"));
        let Some(sent) = self.sent.get(&connection) else { return };
        let Some(session) = self.names.get(&connection) else { return };
        let settled = self.settled.entry(session.clone()).or_default();
        let log = &self.store.logs[&self.users[self.clients[index].user]];
        match ack {
            Ack::At(seq) => settled.extend(sent.get(&seq.0)),
            Ack::UpTo(up_to) => settled.extend(sent.range(..=up_to.0)),
            // By the log: an event may be acked before its publisher is answered.
            Ack::Event(event) => {
                settled.extend(log.place(*event).filter(|seq| sent.contains(seq)));
            }
            Ack::Events(events) => {
                let places = events.iter().filter_map(|event| log.place(*event));
                settled.extend(places.filter(|seq| sent.contains(seq)));
            }
        }
    }

    fn answered(&mut self, open: Open, answer: Answer) {
        match (open, answer) {
            (Open::Publish(asked), Answer::Published(result)) => {
                self.published(*asked, result);
            }
            (Open::Attach(..), Answer::Attached(Attached::Attached { .. })) => {}
            (Open::Attach(index, connection), Answer::Attached(_)) => {
                if self.clients[index].connection == Some(connection) {
                    self.clients[index].cut();
                }
            }
            (Open::List, Answer::Sessions(sessions)) => {
                for session in sessions.into_iter().flatten() {
                    assert!(session.in_flight <= WINDOW, "{session:?}");
                }
            }
            (Open::Revoke(session), Answer::Revoked(Revoked::Forgotten)) => {
                self.settled.remove(&session);
            }
            (Open::Revoke(_), Answer::Revoked(_)) => {}
            (open, answer) => panic!("{answer:?} does not answer {open:?}"),
        }
    }

    fn published(&mut self, asked: super::Asked, result: Result<Receipt, PublishError>) {
        let receipt = match result {
            Ok(receipt) => receipt,
            Err(error) => {
                assert!(!matches!(error, PublishError::Invalid(_) | PublishError::Forbidden));
                return;
            }
        };
        if asked.submission.ephemeral {
            assert_eq!(receipt.seq, None);
            return;
        }
        let seq = receipt.seq.unwrap().0;
        let log = &self.store.logs[&self.users[asked.user]];
        let id = asked.submission.content.id;
        let is_there = seq <= log.pruned || log.events.get(&seq).is_some_and(|e| e.id == id);
        assert!(is_there, "answered and not in the log");
        let known = *self.known_ids.entry((asked.user, id)).or_insert(seq);
        assert_eq!(known, seq, "one name, two places");
        // For an event published before, a full sync since then counts as having it.
        if asked.waits && !receipt.duplicate && asked.submission.content.expires_at.is_none() {
            let outcome = receipt.acked.unwrap();
            for session in &outcome.acked {
                // A session whose name is still on its way to its device has acked nothing, but a
                // full sync it was told of covers what was there before it.
                let owner = self.clients.iter().find(|c| c.session.as_ref() == Some(session));
                let Some(client) = owner else { continue };
                let is_told = client
                    .inbox
                    .iter()
                    .any(|frame| matches!(frame, Frame::AuthOk { need_full_sync: true, .. }));
                // Who confirms may have missed the frame that told it; it will be told again.
                let is_told = is_told || client.confirms;
                assert!(client.has(seq) || is_told, "said to have acked what it does not have");
            }
        }
        if receipt.duplicate {
            return;
        }
        let expires_at = asked.submission.content.expires_at;
        self.promises.push(Promise { user: asked.user, seq, expires_at, owed_to: asked.owed_to });
    }
}
