//! What may happen next.

use std::sync::Arc;
use std::time::Duration;

use staffetta::delivery::messages::{AttachKind, Submission};
use staffetta::delivery::pending::{AttachRequest, PendingTable};
use staffetta::dialect::DialectKind;
use staffetta::persistence::messages::DuplicateKey;
use staffetta::protocol::{
    Accounts, Ack, Audience, ConnectionId, EventContent, EventId, NewEvent, Push, SessionId,
    SessionRequest, UserId,
};
use uuid::Uuid;

use super::{Asked, Open, World, limits};
use crate::client::Frame;

impl World {
    pub(crate) fn step(&mut self) {
        match self.random.below(100) {
            0..=19 => self.publish(),
            20..=27 => self.publish_again(),
            28..=37 => self.connect_someone(),
            38..=42 => self.cut_someone(),
            43..=62 => self.receive_somewhere(),
            63..=74 => self.ack_somewhere(),
            75..=86 => self.commit_something(),
            87..=89 => self.learn_of_a_cut(),
            90..=96 => self.pass_time(),
            97 => self.list_or_revoke(),
            98 => self.prune(),
            _ => self.crash(),
        }
    }

    fn publish(&mut self) {
        let user = self.random.below(self.users.len() as u64) as usize;
        self.next_id += 1;
        let id = EventId(Uuid::from_u128(self.next_id));
        let mut event = NewEvent::new("added");
        if self.random.chance(10) {
            event = event.ttl_ms(self.random.below(5_000) + 1);
        }
        if self.random.chance(10) {
            let excluded = self.clients.iter().filter(|client| client.user == user);
            let excluded: Vec<_> = excluded.filter_map(|client| client.session.clone()).collect();
            if let Some(session) = self.random.pick(&excluded) {
                event = event.exclude_session(session.clone());
            }
        }
        let duplicate = match self.random.chance(50) {
            true => DuplicateKey::EventId { fingerprint: "body".to_owned() },
            false => DuplicateKey::Fresh,
        };
        let submission = Submission {
            user: self.users[user].clone(),
            content: Arc::new(EventContent::fix(event, id, self.moment().wall)),
            duplicate,
            ephemeral: self.random.chance(5),
            wait_acked: self.random.chance(20).then_some(Duration::from_secs(5)),
            audience: Audience::default(),
        };
        if matches!(submission.duplicate, DuplicateKey::EventId { .. }) && !submission.ephemeral {
            self.again.push((user, submission.clone()));
        }
        self.submit(user, submission);
    }

    /// A publisher that got no answer, or wants to be sure, publishes the same again.
    fn publish_again(&mut self) {
        if self.again.is_empty() {
            return;
        }
        let index = self.random.below(self.again.len() as u64) as usize;
        let (user, mut submission) = self.again[index].clone();
        if self.random.chance(10) {
            submission.duplicate = DuplicateKey::EventId { fingerprint: "other".to_owned() };
        }
        self.submit(user, submission);
    }

    fn submit(&mut self, user: usize, submission: Submission) {
        let excluded = submission.content.exclude_session.clone();
        let owed_to = self
            .clients
            .iter()
            .enumerate()
            .filter(|(_, client)| {
                client.user == user
                    && !client.is_plain
                    && client.session.is_some()
                    && client.session != excluded
            })
            .map(|(index, _)| index)
            .collect();
        let ticket = self.table.ticket();
        self.note(|| format!("publish {submission:?} to user {user}"));
        let waits = submission.wait_acked.is_some() && !submission.ephemeral;
        let asked = Asked { submission: submission.clone(), user, owed_to, waits };
        self.open.insert(ticket, Open::Publish(Box::new(asked)));
        self.table.publish(ticket, submission, self.moment());
    }

    fn connect_someone(&mut self) {
        let index = self.random.below(self.clients.len() as u64) as usize;
        self.connect(index);
    }

    pub(crate) fn connect(&mut self, index: usize) {
        self.next_place += 1;
        let connection = ConnectionId { worker: 0, place: self.next_place, generation: 0 };
        // A second connection of the same session may come before the first is known to be gone.
        if let Some(old) = self.clients[index].connection {
            self.detaches.push((self.clients[index].user, old));
        }
        let fresh = SessionId::from_uuid(Uuid::from_u128(u128::from(self.next_place) << 64));
        let client = &mut self.clients[index];
        client.cut();
        client.connection = Some(connection);
        let user = client.user;
        let kind = if client.is_plain {
            let secret = String::new();
            AttachKind::Plain {
                greeting: Push::AuthSuccess { user: self.users[user].clone(), secret },
                accounts: Accounts::default(),
            }
        } else {
            AttachKind::Reliable {
                session: match &client.session {
                    Some(session) => SessionRequest::Named(session.clone()),
                    None => SessionRequest::New,
                },
                fresh,
                offline: Some(client.policy),
                offline_default: client.policy,
                confirm_sync: client.confirms,
                accounts: Accounts::default(),
            }
        };
        self.owners.insert(connection, index);
        let ticket = self.table.ticket();
        self.open.insert(ticket, Open::Attach(index, connection));
        self.note(|| format!("client {index} connects as {connection}"));
        let request = AttachRequest { connection, dialect: DialectKind::Native, kind };
        let owner = self.users[user].clone();
        self.table.attach(ticket, &owner, request, self.moment());
    }

    fn cut_someone(&mut self) {
        let index = self.random.below(self.clients.len() as u64) as usize;
        if let Some(connection) = self.clients[index].connection {
            self.note(|| format!("client {index} is cut"));
            self.clients[index].cut();
            self.detaches.push((self.clients[index].user, connection));
        }
    }

    fn learn_of_a_cut(&mut self) {
        if self.detaches.is_empty() {
            return;
        }
        let index = self.random.below(self.detaches.len() as u64) as usize;
        let (user, connection) = self.detaches.swap_remove(index);
        self.sent.remove(&connection);
        let user = self.users[user].clone();
        self.table.detach(&user, connection, self.moment());
    }

    fn receive_somewhere(&mut self) {
        let index = self.random.below(self.clients.len() as u64) as usize;
        let frames = 1 + self.random.below(6);
        for _ in 0..frames {
            self.receive(index);
        }
    }

    pub(crate) fn receive(&mut self, index: usize) {
        let Some(frame) = self.clients[index].inbox.pop_front() else { return };
        let user = self.clients[index].user;
        match frame {
            Frame::Close => self.clients[index].cut(),
            Frame::AuthOk { session, need_full_sync } => {
                let last = self.store.logs.get(&self.users[user]).map_or(0, |log| log.last());
                let client = &mut self.clients[index];
                client.attached = true;
                if client.session.as_ref() != Some(&session) {
                    client.session = Some(session);
                }
                if need_full_sync {
                    client.full_sync(last);
                    client.must_confirm = client.confirms;
                    self.note(|| format!("client {index} syncs fully to {last}"));
                }
            }
            Frame::Event(event) => {
                self.note(|| format!("client {index} gets {:?}", event.seq));
                let forgets = !self.healed && self.random.chance(10);
                let client = &mut self.clients[index];
                if client.apply(&event) && !forgets {
                    client.acks.push(Ack::Event(event.id()));
                    if self.random.chance(10)
                        && let Some(seq) = event.seq
                    {
                        // Everything up to here: it has all of it, as events come in order.
                        client.acks.push(Ack::UpTo(seq));
                    }
                }
            }
        }
    }

    fn ack_somewhere(&mut self) {
        let index = self.random.below(self.clients.len() as u64) as usize;
        self.ack(index);
    }

    pub(crate) fn ack(&mut self, index: usize) {
        let user = self.users[self.clients[index].user].clone();
        let Some(connection) = self.clients[index].connection else { return };
        if self.clients[index].must_confirm && (self.healed || self.random.chance(30)) {
            self.clients[index].must_confirm = false;
            self.table.sync_complete(&user, connection);
        }
        if self.clients[index].acks.is_empty() {
            return;
        }
        let pick = self.random.below(self.clients[index].acks.len() as u64) as usize;
        let is_doubled = self.random.chance(10);
        let ack = if is_doubled {
            self.clients[index].acks[pick].clone()
        } else {
            self.clients[index].acks.remove(pick)
        };
        self.settle(index, connection, &ack);
        self.table.ack(&user, connection, &ack, self.moment());
    }

    fn commit_something(&mut self) {
        let fails = self.random.chance(7);
        if fails {
            self.note(|| "a transaction fails".to_owned());
        }
        let count = 1 + self.random.below(6) as usize;
        let answers = self.store.commit(count, fails);
        self.answers.extend(answers);
    }

    fn pass_time(&mut self) {
        let ms = match self.random.below(4) {
            0 => self.random.below(100),
            1 => self.random.below(1_000),
            2 => self.random.below(4_000),
            _ => self.random.below(20_000),
        };
        self.ms += ms;
        self.table.tick(self.moment());
        self.table.evict(Duration::from_secs(2), self.moment().now);
    }

    fn list_or_revoke(&mut self) {
        let ticket = self.table.ticket();
        let index = self.random.below(self.clients.len() as u64) as usize;
        let user: UserId = self.users[self.clients[index].user].clone();
        match (self.random.chance(20), self.clients[index].session.clone()) {
            (true, Some(session)) => {
                self.open.insert(ticket, Open::Revoke(session.clone()));
                self.note(|| format!("client {index} is revoked"));
                self.table.revoke(ticket, &user, session, self.moment());
            }
            _ => {
                self.open.insert(ticket, Open::List);
                self.table.list_sessions(ticket, &user, self.moment());
            }
        }
    }

    fn prune(&mut self) {
        let user = self.random.below(self.users.len() as u64) as usize;
        let count = 1 + self.random.below(4) as usize;
        let user = self.users[user].clone();
        if let Some(up_to) = self.store.prune(&user, count) {
            self.note(|| format!("{user:?} is pruned to {up_to}"));
            self.table.pruned(&user, up_to);
        }
    }

    fn crash(&mut self) {
        self.note(|| "crash".to_owned());
        self.table = PendingTable::new(limits());
        self.store.crash();
        self.answers.clear();
        self.open.clear();
        self.detaches.clear();
        self.sent.clear();
        self.settled.clear();
        self.online.clear();
        for client in &mut self.clients {
            client.cut();
        }
    }
}
