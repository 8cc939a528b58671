//! Who waits for an answer of ReliableDelivery, by ticket.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::delivery::by_ticket::ByTicket;
use crate::delivery::messages::{
    Attached, FullSyncOrder, PublishError, Receipt, Revoked, SessionStatus,
};
use crate::delivery::output::Answer;
use crate::persistence::messages::Ticket;
use crate::protocol::{ConnectionId, UserId};

type Published = Result<Receipt, PublishError>;

#[derive(Debug)]
enum Reply {
    Publish { batch: u64, place: usize },
    Attach { user: UserId, connection: ConnectionId, reply: oneshot::Sender<Attached> },
    Sessions(oneshot::Sender<Option<Vec<SessionStatus>>>),
    Revoked(oneshot::Sender<Revoked>),
    FullSync(oneshot::Sender<FullSyncOrder>),
}

/// Events that were published together are answered together.
#[derive(Debug)]
struct Batch {
    results: Vec<Published>,
    open: usize,
    reply: oneshot::Sender<Vec<Published>>,
}

/// The open requests. Bounded by what the mailbox and the store let in.
#[derive(Debug, Default)]
pub(super) struct Replies {
    replies: ByTicket<Reply>,
    batches: HashMap<u64, Batch>,
    /// Batches that are decided and whose publisher is not told yet.
    complete: Vec<Batch>,
    next_batch: u64,
}

impl Replies {
    /// Opens a batch of `len` publishes.
    pub(super) fn open_batch(&mut self, len: usize, reply: oneshot::Sender<Vec<Published>>) -> u64 {
        self.next_batch += 1;
        let results = vec![Err(PublishError::Unavailable); len];
        self.batches.insert(self.next_batch, Batch { results, open: len, reply });
        self.next_batch
    }

    /// Expects the answer to one publish of a batch.
    pub(super) fn expect_publish(&mut self, ticket: Ticket, batch: u64, place: usize) {
        self.replies.insert(ticket, Reply::Publish { batch, place });
    }

    /// Expects the answer to an attach.
    pub(super) fn expect_attach(
        &mut self,
        ticket: Ticket,
        user: UserId,
        connection: ConnectionId,
        reply: oneshot::Sender<Attached>,
    ) {
        self.replies.insert(ticket, Reply::Attach { user, connection, reply });
    }

    /// Expects the answer to a listing.
    pub(super) fn expect_sessions(
        &mut self,
        ticket: Ticket,
        reply: oneshot::Sender<Option<Vec<SessionStatus>>>,
    ) {
        self.replies.insert(ticket, Reply::Sessions(reply));
    }

    /// Expects the answer to a revocation.
    pub(super) fn expect_revoked(&mut self, ticket: Ticket, reply: oneshot::Sender<Revoked>) {
        self.replies.insert(ticket, Reply::Revoked(reply));
    }

    /// Expects the answer to an order of a full sync.
    pub(super) fn expect_full_sync(
        &mut self,
        ticket: Ticket,
        reply: oneshot::Sender<FullSyncOrder>,
    ) {
        self.replies.insert(ticket, Reply::FullSync(reply));
    }

    /// Hands out an answer. Whoever asked may have stopped waiting: then it is dropped. Says
    /// which connection is attached without anybody knowing, and so will never be detached.
    pub(super) fn answer(
        &mut self,
        ticket: Ticket,
        answer: Answer,
    ) -> Option<(UserId, ConnectionId)> {
        match (self.replies.remove(&ticket), answer) {
            (Some(Reply::Publish { batch, place }), Answer::Published(result)) => {
                self.fill(batch, place, result);
            }
            (Some(Reply::Attach { user, connection, reply }), Answer::Attached(attached)) => {
                let unheard = reply.send(attached).err();
                if let Some(Attached::Attached { .. }) = unheard {
                    return Some((user, connection));
                }
            }
            (Some(Reply::Sessions(reply)), Answer::Sessions(sessions)) => {
                let _ = reply.send(sessions);
            }
            (Some(Reply::Revoked(reply)), Answer::Revoked(revoked)) => {
                let _ = reply.send(revoked);
            }
            (Some(Reply::FullSync(reply)), Answer::FullSync(order)) => {
                let _ = reply.send(order);
            }
            (reply, answer) => log::error!("{answer:?} does not answer {reply:?}"),
        }
        None
    }

    fn fill(&mut self, number: u64, place: usize, result: Published) {
        let Some(batch) = self.batches.get_mut(&number) else { return };
        if let Some(slot) = batch.results.get_mut(place) {
            *slot = result;
            batch.open -= 1;
        }
        if batch.open == 0
            && let Some(batch) = self.batches.remove(&number)
        {
            self.complete.push(batch);
        }
    }

    /// Answers the publishers all of whose events are decided.
    pub(super) fn answer_publishers(&mut self) {
        for batch in self.complete.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = batch.reply.send(batch.results);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_attached_after_it_stopped_waiting_is_named() {
        let (user, place) = (UserId::new("alice").unwrap(), Ticket(1));
        let connection = ConnectionId { worker: 0, place: 0, generation: 0 };
        let mut replies = Replies::default();
        let mut answer = |attached: Attached, is_waiting: bool| {
            let (reply, answer) = oneshot::channel();
            replies.expect_attach(place, user.clone(), connection, reply);
            let answer = is_waiting.then_some(answer);
            let unheard = replies.answer(place, Answer::Attached(attached));
            drop(answer);
            unheard
        };
        let attached = || Attached::Attached { session: None };
        assert_eq!(answer(attached(), true), None);
        assert_eq!(answer(Attached::Unavailable, false), None);
        assert_eq!(answer(attached(), false), Some((user.clone(), connection)));
    }
}
