//! Several databases: hands what is asked of Persistence to the one that keeps the user's slot.
//!
//! Notes and dead letters have no slot of their own: they stay in `database.url`. Where there is one
//! database, nobody asks this actor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, ContextFutureSpawner, Handler, Message,
    Recipient, WrapFuture,
};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::broadcasts::{start_everywhere, start_in};
use super::messages::{
    Append, BroadcastProgress, CheckHealth, ClaimSession, DeleteSessions, FindEvent, Flush,
    LoadUser, NextBroadcast, ObservePruning, PersistencePort, ReadLog, ReadPage, SaveFloors,
    SaveSessions, StartBroadcast, StoreError,
};
use super::port::port_to;
use crate::protocol::UserId;

/// Messages that may wait here; the events in them are bounded by `Waiting`.
const MAILBOX_MAX: usize = 16_384;

/// The actor.
pub(super) struct Shelf {
    stores: Arc<[PersistencePort]>,
    /// Those, and the one that keeps what has no slot.
    all: Arc<[PersistencePort]>,
    of_slots: Box<[u8; 256]>,
    /// Which database the broadcast comes from that is being handed out.
    broadcast_of: Arc<AtomicUsize>,
}

impl Shelf {
    pub(super) fn new(
        main: &PersistencePort,
        stores: Vec<PersistencePort>,
        of_slots: Box<[u8; 256]>,
    ) -> Self {
        let all = stores.iter().chain([main]).cloned().collect();
        Self { stores: stores.into(), all, of_slots, broadcast_of: Arc::default() }
    }

    fn place(&self, user: &UserId) -> usize {
        self.of_slots.get(usize::from(user.slot().0)).map_or(0, |place| usize::from(*place))
    }

    fn of(&self, user: &UserId) -> Option<&PersistencePort> {
        self.stores.get(self.place(user))
    }

    /// Sorts by database, each part in the order given.
    fn sort<T>(
        &self,
        entries: Vec<T>,
        user: impl Fn(&T) -> &UserId,
    ) -> Vec<(PersistencePort, Vec<T>)> {
        let mut parts: BTreeMap<usize, Vec<T>> = BTreeMap::new();
        for entry in entries {
            parts.entry(self.place(user(&entry))).or_default().push(entry);
        }
        let with_store =
            |(place, part): (usize, Vec<T>)| Some((self.stores.get(place)?.clone(), part));
        parts.into_iter().filter_map(with_store).collect()
    }
}

/// What others may ask: as of one store, apart from what has no slot.
pub(super) fn port(addr: &Addr<Shelf>, main: &PersistencePort) -> PersistencePort {
    port_to!(addr, {
        notes: main.notes.clone(),
        dead_letters: main.dead_letters.clone(),
        pushes: main.pushes.clone(),
        waiting: main.waiting.clone(),
    })
}

/// Passes a message on; when there is no room, nothing else is taken until there is.
fn pass<M>(to: &Recipient<M>, message: M, shelf: &Shelf, ctx: &mut Context<Shelf>)
where
    M: Message<Result = ()> + Send + 'static,
{
    if let Err(actix::prelude::SendError::Full(message)) = to.try_send(message) {
        let sending = to.send(message);
        sending.into_actor(shelf).map(|_, _, _| ()).wait(ctx);
    }
}

impl Actor for Shelf {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let _ = ctx.address();
    }
}

impl Handler<Append> for Shelf {
    type Result = ();

    fn handle(&mut self, Append { group, events, reply }: Append, ctx: &mut Self::Context) {
        for (store, events) in self.sort(events, |event| &event.user) {
            pass(&store.append, Append { group, events, reply: reply.clone() }, self, ctx);
        }
    }
}

macro_rules! sorted {
    ($($message:ident => $port:ident, $user:expr;)+) => {
        $(impl Handler<$message> for Shelf {
            type Result = ();

            fn handle(&mut self, $message(entries): $message, ctx: &mut Self::Context) {
                for (store, entries) in self.sort(entries, $user) {
                    pass(&store.$port, $message(entries), self, ctx);
                }
            }
        })+
    };
}

sorted! {
    SaveSessions => save_sessions, |(user, ..)| user;
    SaveFloors => save_floors, |floor| &floor.user;
    DeleteSessions => delete_sessions, |(user, ..)| user;
}

macro_rules! of_user {
    ($($message:ident => $port:ident;)+) => {
        $(impl Handler<$message> for Shelf {
            type Result = ();

            fn handle(&mut self, message: $message, ctx: &mut Self::Context) {
                if let Some(store) = self.of(&message.user).cloned() {
                    pass(&store.$port, message, self, ctx);
                }
            }
        })+
    };
}

of_user! {
    ClaimSession => claim_session;
    LoadUser => load_user;
    ReadLog => read_log;
    ReadPage => read_page;
}

/// Asks every store; answers in their order, an error for one that is closed.
async fn ask_all<M, T>(
    stores: Arc<[PersistencePort]>,
    to: impl Fn(&PersistencePort) -> &Recipient<M>,
    message: impl Fn(oneshot::Sender<Result<T, StoreError>>) -> M,
) -> Result<Vec<T>, StoreError>
where
    M: Message<Result = ()> + Send + 'static,
{
    let asked = stores.iter().map(|store| {
        let (reply, answer) = oneshot::channel();
        let sending = to(store).send(message(reply));
        async move {
            sending.await.map_err(|_| StoreError::Closed)?;
            answer.await.map_err(|_| StoreError::Closed)?
        }
    });
    join_all(asked).await.into_iter().collect()
}

impl Handler<CheckHealth> for Shelf {
    type Result = ();

    fn handle(&mut self, CheckHealth(reply): CheckHealth, _ctx: &mut Self::Context) {
        let all = ask_all(Arc::clone(&self.all), |store| &store.check_health, CheckHealth);
        // Whoever asked may have stopped waiting; so with every answer below.
        actix::spawn(async move { drop(reply.send(all.await.map(drop))) });
    }
}

impl Handler<FindEvent> for Shelf {
    type Result = ();

    fn handle(&mut self, find: FindEvent, _ctx: &mut Self::Context) {
        let FindEvent { event, users_max, reply } = find;
        let ask = move |reply| FindEvent { event, users_max, reply };
        let all = ask_all(Arc::clone(&self.stores), |store| &store.find_event, ask);
        actix::spawn(async move {
            let found = all.await.map(|found| {
                let mut found: Vec<_> = found.into_iter().flatten().collect();
                found.truncate(users_max);
                found
            });
            let _ = reply.send(found);
        });
    }
}

impl Handler<StartBroadcast> for Shelf {
    type Result = ();

    fn handle(&mut self, start: StartBroadcast, _ctx: &mut Self::Context) {
        let StartBroadcast { content, duplicate, others, reply } = start;
        let stores = self.stores.to_vec();
        actix::spawn(async move {
            let start = async |store: PersistencePort, content, duplicate| {
                start_in(&store.start_broadcast, content, duplicate).await
            };
            let started = start_everywhere(stores, content, duplicate, others, start).await;
            let _ = reply.send(started);
        });
    }
}

impl Handler<NextBroadcast> for Shelf {
    type Result = ();

    fn handle(&mut self, next: NextBroadcast, _ctx: &mut Self::Context) {
        let NextBroadcast { users_max, reply } = next;
        let (stores, broadcast_of) = (Arc::clone(&self.stores), Arc::clone(&self.broadcast_of));
        actix::spawn(async move {
            for (place, store) in stores.iter().enumerate() {
                let (ask, answer) = oneshot::channel();
                let asked = NextBroadcast { users_max, reply: ask };
                let sent = store.next_broadcast.send(asked).await;
                let part = match (sent, answer.await) {
                    (Ok(()), Ok(part)) => part,
                    (Err(_), _) | (_, Err(_)) => Err(StoreError::Closed),
                };
                if !matches!(part, Ok(None)) {
                    broadcast_of.store(place, Ordering::Relaxed);
                    let _ = reply.send(part);
                    return;
                }
            }
            let _ = reply.send(Ok(None));
        });
    }
}

impl Handler<BroadcastProgress> for Shelf {
    type Result = ();

    fn handle(&mut self, progress: BroadcastProgress, ctx: &mut Self::Context) {
        let place = match &progress.done {
            Some(user) => self.place(user),
            None => self.broadcast_of.load(Ordering::Relaxed),
        };
        if let Some(store) = self.stores.get(place).cloned() {
            pass(&store.broadcast_progress, progress, self, ctx);
        }
    }
}

impl Handler<Flush> for Shelf {
    type Result = ();

    fn handle(&mut self, Flush(reply): Flush, _ctx: &mut Self::Context) {
        let flushes = self.all.iter().map(|store| {
            let (reply, answer) = oneshot::channel();
            let sending = store.flush.send(Flush(reply));
            async move { (sending.await.is_ok(), answer.await.is_ok()) }
        });
        let flushes = join_all(flushes);
        actix::spawn(async move {
            flushes.await;
            let _ = reply.send(());
        });
    }
}

impl Handler<ObservePruning> for Shelf {
    type Result = ();

    fn handle(&mut self, ObservePruning(observer): ObservePruning, ctx: &mut Self::Context) {
        for store in Arc::clone(&self.stores).iter() {
            pass(&store.observe_pruning, ObservePruning(observer.clone()), self, ctx);
        }
    }
}
