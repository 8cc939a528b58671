//! The databases of other nodes, where each node has its own: takes questions about a user's log to the
//! user's home, and what is about everybody to every node.

use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext, Context, Handler};
use tokio::sync::oneshot;

use super::asking::Asking;
use super::envelope::Request;
use crate::persistence::messages::{
    BroadcastOutcome, FindEvent, LogPage, PersistencePort, ReadPage, StartBroadcast, StoreError,
    StoredEvent,
};
use crate::persistence::{start_everywhere, start_in};
use crate::protocol::{EventContent, NodeNumber};

/// Messages that may wait.
const MAILBOX_MAX: usize = 4_096;

/// The actor.
pub(super) struct Stores {
    asking: Asking,
    here: PersistencePort,
}

impl Stores {
    pub(super) fn new(asking: Asking, here: PersistencePort) -> Self {
        Self { asking, here }
    }
}

/// What others may ask: of every node what the API reads, of this one the rest.
pub(super) fn port(addr: &Addr<Stores>, here: &PersistencePort) -> PersistencePort {
    PersistencePort {
        read_page: addr.clone().recipient(),
        find_event: addr.clone().recipient(),
        start_broadcast: addr.clone().recipient(),
        ..here.clone()
    }
}

impl Actor for Stores {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let _ = ctx.address();
    }
}

fn unheard() -> StoreError {
    StoreError::Database("another node did not answer".to_owned())
}

/// Whether none of these nodes is known to be away.
fn are_there(asking: &Asking, nodes: &[NodeNumber]) -> bool {
    let (here, others) = (asking.here(), asking.link().others());
    let is_there = |node: &NodeNumber| others.contains(node) && asking.link().reaches(*node);
    nodes.iter().all(|node| *node == here || is_there(node))
}

impl Handler<ReadPage> for Stores {
    type Result = ();

    fn handle(&mut self, read: ReadPage, _ctx: &mut Self::Context) {
        let Some(home) = self.asking.home(&read.user) else {
            if !self.asking.is_here(&read.user) {
                // This node's log of such a user is empty, and would say that there is nothing.
                let _ = read.reply.send(Err(unheard()));
                return;
            }
            let here = self.here.read_page.clone();
            // Whoever asked gets no answer from a store that is closed.
            actix::spawn(async move { here.send(read).await.unwrap_or_default() });
            return;
        };
        let ReadPage { user, after, now, events_max, bytes_max, reply } = read;
        let asking = self.asking.clone();
        actix::spawn(async move {
            let request = Request::ReadPage(user, after, now, events_max, bytes_max);
            let page: Option<LogPage> = asking.ask(home, request).await.ok().flatten();
            // Whoever asked may have stopped waiting; so with every answer below.
            let _ = reply.send(page.ok_or_else(unheard));
        });
    }
}

impl Handler<FindEvent> for Stores {
    type Result = ();

    fn handle(&mut self, find: FindEvent, _ctx: &mut Self::Context) {
        let FindEvent { event, users_max, reply } = find;
        let (asking, here) = (self.asking.clone(), self.here.find_event.clone());
        actix::spawn(async move {
            let Some(mut nodes) = asking.owners() else {
                let _ = reply.send(Err(unheard()));
                return;
            };
            nodes.retain(|node| *node != asking.here());
            let others = asking.ask_all(nodes, || Request::FindEvent(event, users_max));
            let (own, answer) = oneshot::channel();
            let asked = here.send(FindEvent { event, users_max, reply: own });
            let (asked, others) = tokio::join!(asked, others);
            let own = match (asked, answer.await) {
                (Ok(()), Ok(found)) => found,
                (Err(_), _) | (_, Err(_)) => Err(StoreError::Closed),
            };
            let found = own.and_then(|mut found| {
                for part in others {
                    let part: Option<Vec<StoredEvent>> = part.ok().flatten();
                    found.extend(part.ok_or_else(unheard)?);
                }
                found.truncate(users_max);
                Ok(found)
            });
            let _ = reply.send(found);
        });
    }
}

impl Handler<StartBroadcast> for Stores {
    type Result = ();

    fn handle(&mut self, start: StartBroadcast, _ctx: &mut Self::Context) {
        let StartBroadcast { content, duplicate, others, reply } = start;
        let (asking, here) = (self.asking.clone(), self.here.start_broadcast.clone());
        actix::spawn(async move {
            // Before any node takes it: when a publish without a name comes again, it is another one.
            let Some(nodes) = asking.owners().filter(|nodes| are_there(&asking, nodes)) else {
                let _ = reply.send(Err(unheard()));
                return;
            };
            let start = async |node: NodeNumber, content: Arc<EventContent>, duplicate| {
                if node == asking.here() {
                    return start_in(&here, content, duplicate).await;
                }
                let request = Request::StartBroadcast(content, duplicate);
                let outcome: Option<BroadcastOutcome> =
                    asking.ask(node, request).await.ok().flatten();
                outcome.ok_or_else(unheard)
            };
            let started = start_everywhere(nodes, content, duplicate, others, start).await;
            let _ = reply.send(started);
        });
    }
}
