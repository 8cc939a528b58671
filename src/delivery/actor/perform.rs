//! Does what the pending-event table decided: one message per worker and one per append group,
//! however many events are in it.

use std::sync::Arc;

use actix::Recipient;
use actix::prelude::SendError;

use super::{ReliableDelivery, moment};
use crate::delivery::notices::Notice;
use crate::delivery::output::Output;
use crate::delivery::pending::Moment;
use crate::dialect::EventFrames;
use crate::persistence::messages::{
    Append, AppendEvent, ClaimSession, DeleteSessions, LoadUser, ReadLog, SaveFloors, SaveSessions,
    StoreError, Ticket,
};
use crate::protocol::{ConnectionId, NoteId, SessionId, SessionRecord, UserId};
use crate::registry::messages::{Order, Orders, SendKind};

/// Orders kept for a worker whose mailbox is full. Beyond, fan-outs are dropped: reliable
/// sessions get them again after `ack_wait`, plain ones are told at most once anyway.
const UNSENT_MAX: usize = 65_536;

/// Deliveries that go out before the publisher is answered.
const FEW_TARGETS: usize = 16;

/// Orders of one turn that the next finds room for.
const ROOM_KEPT: usize = 256;

/// The registry of one worker, and what is to be told to it.
#[derive(Debug)]
pub(super) struct Registry {
    recipient: Recipient<Orders>,
    orders: Vec<Order>,
}

impl Registry {
    pub(super) fn new(recipient: Recipient<Orders>) -> Self {
        Self { recipient, orders: Vec::new() }
    }

    /// Tells it everything; what does not fit waits for the next time, in order.
    fn flush(&mut self) {
        if self.orders.is_empty() {
            return;
        }
        let empty = Vec::with_capacity(self.orders.len().min(ROOM_KEPT));
        match self.recipient.try_send(Orders(std::mem::replace(&mut self.orders, empty))) {
            Ok(()) | Err(SendError::Closed(_)) => {}
            Err(SendError::Full(Orders(orders))) => {
                self.orders = orders;
                if self.orders.len() > UNSENT_MAX {
                    let before = self.orders.len();
                    self.orders.retain(|order| !matches!(order, Order::FanOut { .. }));
                    let dropped = before - self.orders.len();
                    log::warn!("a worker does not keep up: {dropped} fan-outs dropped");
                }
            }
        }
    }
}

impl ReliableDelivery {
    /// Does everything the table decided, until it has nothing more to say.
    pub(super) fn perform(&mut self) {
        let mut appends = Vec::new();
        loop {
            let outputs = self.table.take_outputs();
            if outputs.is_empty() {
                break;
            }
            let are_appended = |output: &&Output| matches!(output, Output::Append(_));
            appends.reserve_exact(outputs.iter().filter(are_appended).count());
            for output in outputs {
                self.perform_one(output, &mut appends);
            }
            self.append(&mut appends);
        }
        // Where one thread writes both, the shorter is not to wait for the longer.
        let are_few = std::mem::take(&mut self.targets) <= FEW_TARGETS;
        if !are_few {
            self.replies.answer_publishers();
        }
        for registry in self.registries.values_mut() {
            registry.flush();
        }
        self.replies.answer_publishers();
    }

    fn perform_one(&mut self, output: Output, appends: &mut Vec<AppendEvent>) {
        match output {
            Output::FanOut { user, frames, room, targets, kind } => {
                self.fan_out(&user, &frames, room.as_ref(), targets, kind);
            }
            Output::Say { connection, push } => {
                self.order(connection, Order::Say { connection, push });
            }
            Output::Resumed { connection } => {
                self.order(connection, Order::Resumed { connection });
            }
            Output::Close { connection, code } => {
                self.order(connection, Order::Close { connection, code });
            }
            Output::Append(mut event) => {
                event.epoch = self.slots.epoch_of(&event.user);
                appends.push(event);
            }
            Output::Notice(event) => {
                let Moment { now, wall } = moment();
                self.notices.tell(Notice { event, at: wall }, now);
            }
            Output::Answer(ticket, answer) => {
                if let Some((user, connection)) = self.replies.answer(ticket, answer) {
                    self.table.detach(&user, connection, moment());
                }
            }
            Output::ReadLog { user, session, ticket, after, events_max, bytes_max } => {
                let Some(myself) = &self.myself else { return };
                let reply = myself.log_read.clone();
                let read = ReadLog { user, session, ticket, after, events_max, bytes_max, reply };
                if let Err(SendError::Full(read) | SendError::Closed(read)) =
                    self.persistence.read_log.try_send(read)
                {
                    let result = Err(StoreError::Overloaded);
                    self.table.log_read(&read.user, &read.session, read.ticket, result, moment());
                }
            }
            // Writes keep the order in which they were decided.
            Output::SaveSession { user, record } => {
                self.append(appends);
                let epoch = self.slots.epoch_of(&user);
                self.unsaved.insert(record.id.clone(), (user, record, epoch));
                self.save_sessions();
            }
            Output::DeleteSession(user, session) => {
                self.append(appends);
                self.unsaved.remove(&session);
                self.delete_session(user, session);
            }
            Output::Claim { ticket, user, record } => {
                self.append(appends);
                self.claim(ticket, user, record);
            }
            Output::LoadUser(user) => {
                self.append(appends);
                self.load(user);
            }
        }
    }

    fn fan_out(
        &mut self,
        user: &UserId,
        frames: &Arc<EventFrames>,
        room: Option<&NoteId>,
        mut targets: Vec<ConnectionId>,
        kind: SendKind,
    ) {
        let here = self.slots.here();
        self.targets += targets.len();
        while let Some(first) = targets.first() {
            let registry = first.registry(here);
            // Nearly always everyone is on one worker, or few are.
            let is_theirs = |target: &ConnectionId| target.registry(here) == registry;
            let theirs = if targets.iter().all(is_theirs) {
                std::mem::take(&mut targets)
            } else {
                targets.extract_if(.., |target| is_theirs(target)).collect()
            };
            if let Some(registry) = self.registries.get_mut(&registry) {
                let (user, frames, room) = (user.clone(), Arc::clone(frames), room.cloned());
                registry.orders.push(Order::FanOut { user, frames, room, targets: theirs, kind });
            }
        }
    }

    fn order(&mut self, connection: ConnectionId, order: Order) {
        if let Some(registry) = self.registries.get_mut(&connection.registry(self.slots.here())) {
            registry.orders.push(order);
        }
    }

    fn append(&mut self, appends: &mut Vec<AppendEvent>) {
        if appends.is_empty() {
            return;
        }
        let Some(myself) = &self.myself else { return };
        let events = std::mem::take(appends);
        if !self.persistence.waiting.enter(events.len()) {
            self.refuse(events, &StoreError::Overloaded);
            return;
        }
        let append = Append { group: self.group, events, reply: myself.appended.clone() };
        let (refused, error) = match self.persistence.append.try_send(append) {
            Ok(()) => return,
            Err(SendError::Full(append)) => (append, StoreError::Overloaded),
            Err(SendError::Closed(append)) => (append, StoreError::Closed),
        };
        self.persistence.waiting.leave(refused.events.len());
        self.refuse(refused.events, &error);
    }

    fn refuse(&mut self, events: Vec<AppendEvent>, error: &StoreError) {
        for event in events {
            self.table.appended(event.ticket, Err(error.clone()), moment());
        }
    }

    fn save_sessions(&mut self) {
        if self.unsaved.is_empty() {
            return;
        }
        let sessions = self.unsaved.drain().map(|(_, session)| session).collect();
        if let Err(SendError::Full(SaveSessions(sessions))) =
            self.persistence.save_sessions.try_send(SaveSessions(sessions))
        {
            let by_id = sessions.into_iter().map(|saved| (saved.1.id.clone(), saved));
            self.unsaved.extend(by_id);
        }
    }

    fn delete_session(&mut self, user: UserId, session: SessionId) {
        let epoch = self.slots.epoch_of(&user);
        // A session that stays in the database although it was given up owes more than it needs
        // to, never less.
        let delete = DeleteSessions(vec![(user, session, epoch)]);
        if self.persistence.delete_sessions.try_send(delete).is_err() {
            log::warn!("a session was not deleted: the store has too much waiting");
        }
    }

    fn claim(&mut self, ticket: Ticket, user: UserId, record: SessionRecord) {
        let Some(myself) = &self.myself else { return };
        let epoch = self.slots.epoch_of(&user);
        let reply = myself.claimed.clone();
        let claim = ClaimSession { ticket, user, record, epoch, reply };
        if let Err(SendError::Full(claim) | SendError::Closed(claim)) =
            self.persistence.claim_session.try_send(claim)
        {
            self.table.claimed(claim.ticket, Err(StoreError::Overloaded), moment());
        }
    }

    fn load(&mut self, user: UserId) {
        let Some(myself) = &self.myself else { return };
        let load = LoadUser { user, reply: myself.loaded.clone() };
        if let Err(SendError::Full(load) | SendError::Closed(load)) =
            self.persistence.load_user.try_send(load)
        {
            self.table.loaded(&load.user, Err(StoreError::Overloaded), moment());
        }
    }

    /// Hands changed floors, at most so many, and sessions that did not fit before, to the store.
    pub(super) fn write_floors(&mut self, max: usize) {
        self.save_sessions();
        let slots = &self.slots;
        self.floors.extend(self.table.take_floors(max).into_iter().map(|mut floor| {
            floor.epoch = slots.epoch_of(&floor.user);
            floor
        }));
        // A floor must not be written before the mark beside it.
        if self.floors.is_empty() || !self.unsaved.is_empty() {
            return;
        }
        let floors = std::mem::take(&mut self.floors);
        if let Err(SendError::Full(SaveFloors(floors))) =
            self.persistence.save_floors.try_send(SaveFloors(floors))
        {
            self.floors = floors;
        }
    }
}
