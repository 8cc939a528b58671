//! What stands behind the ports in these tests: an actor that notes what it is asked and answers
//! as the test said.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use actix::{Actor, Addr, Context, Handler};
use tokio::sync::oneshot;

use crate::delivery::messages::{
    Acks, Attach, CloseRecord, DeliveryPort, DeliveryPorts, DeliveryTrace, Detach, FlushFloors,
    FullSyncOrder, ListCloses, ListSessions, LiveUsers, OrderFullSync, Publish, PublishError,
    Receipt, Revoke, Revoked, SessionStatus, SlotOrder, Submission, SyncComplete, TakeCensus,
    TraceEvent, Unreachable, WatchPort,
};
use crate::persistence::messages::*;
use crate::persistence::port::port_to;
use crate::protocol::{EventContent, EventId, Seq, SessionId, UserId};

/// What is answered, and what was asked.
#[derive(Debug)]
pub(super) struct Script {
    /// One answer per event; then fresh receipts with rising places.
    pub(super) answers: VecDeque<Result<Receipt, PublishError>>,
    pub(super) submissions: Vec<Submission>,
    pub(super) sessions: Option<Vec<SessionStatus>>,
    pub(super) revoked: Revoked,
    pub(super) revocations: Vec<(UserId, SessionId)>,
    pub(super) traces: Vec<DeliveryTrace>,
    pub(super) closes: Vec<CloseRecord>,
    pub(super) full_sync: FullSyncOrder,
    pub(super) full_syncs: Vec<(UserId, SessionId)>,
    pub(super) page: Result<LogPage, StoreError>,
    pub(super) pages_asked: Vec<(UserId, Seq, usize)>,
    pub(super) health: Result<(), StoreError>,
    pub(super) found: Result<Vec<StoredEvent>, StoreError>,
    pub(super) broadcast: Result<BroadcastOutcome, StoreError>,
    pub(super) broadcasts: Vec<(Arc<EventContent>, DuplicateKey)>,
    pub(super) letters: Vec<DeadLetter>,
    /// Whether the store keeps every question to itself.
    pub(super) store_is_stuck: bool,
    kept: Vec<Kept>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "kept so that the asker waits")]
enum Kept {
    Page(oneshot::Sender<Result<LogPage, StoreError>>),
    Health(oneshot::Sender<Result<(), StoreError>>),
    Found(oneshot::Sender<Result<Vec<StoredEvent>, StoreError>>),
}

impl Default for Script {
    fn default() -> Self {
        Self {
            answers: VecDeque::new(),
            submissions: Vec::new(),
            sessions: Some(Vec::new()),
            revoked: Revoked::Forgotten,
            revocations: Vec::new(),
            traces: Vec::new(),
            closes: Vec::new(),
            full_sync: FullSyncOrder::Taken,
            full_syncs: Vec::new(),
            page: Ok(LogPage::default()),
            pages_asked: Vec::new(),
            health: Ok(()),
            found: Ok(Vec::new()),
            broadcast: Ok(BroadcastOutcome::Started { id: EventId(uuid::Uuid::nil()), users: 3 }),
            broadcasts: Vec::new(),
            letters: Vec::new(),
            store_is_stuck: false,
            kept: Vec::new(),
        }
    }
}

/// Both actors in one. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Probe(Arc<Mutex<Script>>);

impl Probe {
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    /// Two delivery actors, so that every call has to find the right one or ask both.
    pub(super) fn ports(&self) -> (DeliveryPorts, PersistencePort) {
        let addr = self.clone().start();
        let ports = vec![delivery_port(&addr), delivery_port(&addr)];
        (DeliveryPorts::new(ports), persistence_port(&addr))
    }
}

impl Actor for Probe {
    type Context = Context<Self>;
}

/// Messages no HTTP call sends.
macro_rules! never_asked {
    ($($message:ident),+) => {
        $(impl Handler<$message> for Probe {
            type Result = ();

            fn handle(&mut self, message: $message, _: &mut Self::Context) {
                panic!("an HTTP call sent {message:?}");
            }
        })+
    };
}

never_asked!(Attach, Detach, Unreachable, Acks, SyncComplete, FlushFloors, SlotOrder, TakeCensus);
never_asked!(Append, SaveSessions, SaveFloors, DeleteSessions, ClaimSession, LoadUser, ReadLog);
never_asked!(NextBroadcast, BroadcastProgress, Flush, ObservePruning);
never_asked!(WriteNote, ShareNote, UnshareNote, FenceNotes, SettleNotes);
never_asked!(ReadNote, ListNotes, ReadMembers, ReadUnsettled);
never_asked!(SaveDeadLetters, WritePush, ListPushes);

/// Messages that are answered from the script.
macro_rules! answered {
    ($($message:ident, $bound:pat => |$script:ident| $answer:block)+) => {
        $(impl Handler<$message> for Probe {
            type Result = ();

            fn handle(&mut self, $bound: $message, _: &mut Self::Context) {
                let $script = &mut *self.script();
                $answer
            }
        })+
    };
}

answered! {
    Publish, Publish { events, reply } => |script| {
        let mut answers = Vec::new();
        for submission in events {
            let fresh = Receipt {
                event_id: submission.content.id,
                seq: (!submission.ephemeral).then(|| Seq(script.submissions.len() as i64 + 1)),
                live: 2,
                offline: 1,
                duplicate: false,
                acked: None,
            };
            script.submissions.push(submission);
            answers.push(script.answers.pop_front().unwrap_or(Ok(fresh)));
        }
        let _ = reply.send(answers);
    }
    ListSessions, ListSessions { reply, .. } => |script| {
        let _ = reply.send(script.sessions.clone());
    }
    Revoke, Revoke { user, session, reply } => |script| {
        script.revocations.push((user, session));
        let _ = reply.send(script.revoked);
    }
    OrderFullSync, OrderFullSync { user, session, reply } => |script| {
        script.full_syncs.push((user, session));
        let _ = reply.send(script.full_sync);
    }
    ListCloses, ListCloses { reply, .. } => |script| {
        let _ = reply.send(script.closes.clone());
    }
    TraceEvent, TraceEvent { reply, .. } => |script| {
        // The first actor remembers everything, the second nothing.
        let _ = reply.send(std::mem::take(&mut script.traces));
    }
    LiveUsers, LiveUsers(reply) => |_script| {
        let _ = reply.send(Vec::new());
    }
    ReadPage, ReadPage { user, after, events_max, reply, .. } => |script| {
        script.pages_asked.push((user, after, events_max));
        if script.store_is_stuck {
            return script.kept.push(Kept::Page(reply));
        }
        let _ = reply.send(script.page.clone());
    }
    CheckHealth, CheckHealth(reply) => |script| {
        if script.store_is_stuck {
            return script.kept.push(Kept::Health(reply));
        }
        let _ = reply.send(script.health.clone());
    }
    FindEvent, FindEvent { reply, .. } => |script| {
        if script.store_is_stuck {
            return script.kept.push(Kept::Found(reply));
        }
        let _ = reply.send(script.found.clone());
    }
    StartBroadcast, StartBroadcast { content, duplicate, reply, .. } => |script| {
        let mut outcome = script.broadcast.clone();
        if let Ok(BroadcastOutcome::Started { id, .. }) = &mut outcome {
            *id = content.id;
        }
        script.broadcasts.push((content, duplicate));
        let _ = reply.send(outcome);
    }
    ListDeadLetters, ListDeadLetters { after, letters_max, reply, .. } => |script| {
        let rest = script.letters.iter().filter(|letter| after.is_none_or(|id| letter.id > id));
        let mut letters: Vec<_> = rest.cloned().collect();
        let more = letters.len() > letters_max;
        letters.truncate(letters_max);
        let _ = reply.send(Ok(DeadLetterPage { letters, more }));
    }
    FindDeadLetter, FindDeadLetter { id, reply } => |script| {
        let _ = reply.send(Ok(script.letters.iter().find(|letter| letter.id == id).cloned()));
    }
    DeleteDeadLetter, DeleteDeadLetter { id, reply } => |script| {
        let before = script.letters.len();
        script.letters.retain(|letter| letter.id != id);
        let _ = reply.send(Ok(script.letters.len() < before));
    }
    FailDeadLetter, FailDeadLetter { id, error, at } => |script| {
        for letter in script.letters.iter_mut().filter(|letter| letter.id == id) {
            letter.attempts += 1;
            letter.last_error.clone_from(&error);
            letter.failed_at = at;
        }
    }
}

pub(super) fn delivery_port(addr: &Addr<Probe>) -> DeliveryPort {
    DeliveryPort {
        publish: addr.clone().recipient(),
        attach: addr.clone().recipient(),
        detach: addr.clone().recipient(),
        unreachable: addr.clone().recipient(),
        acks: addr.clone().recipient(),
        sync_complete: addr.clone().recipient(),
        list_sessions: addr.clone().recipient(),
        revoke: addr.clone().recipient(),
        trace: addr.clone().recipient(),
        live_users: addr.clone().recipient(),
        flush_floors: addr.clone().recipient(),
        slots: addr.clone().recipient(),
        watch: WatchPort {
            census: addr.clone().recipient(),
            closes: addr.clone().recipient(),
            full_sync: addr.clone().recipient(),
        },
    }
}

fn persistence_port(addr: &Addr<Probe>) -> PersistencePort {
    port_to!(addr, {
        notes: NotesPort {
            write: addr.clone().recipient(),
            share: addr.clone().recipient(),
            unshare: addr.clone().recipient(),
            fence: addr.clone().recipient(),
            settle: addr.clone().recipient(),
            read: addr.clone().recipient(),
            list: addr.clone().recipient(),
            members: addr.clone().recipient(),
            unsettled: addr.clone().recipient(),
        },
        dead_letters: DeadLetterPort {
            save: addr.clone().recipient(),
            fail: addr.clone().recipient(),
            delete: addr.clone().recipient(),
            find: addr.clone().recipient(),
            list: addr.clone().recipient(),
        },
        pushes: PushPort { write: addr.clone().recipient(), list: addr.clone().recipient() },
        waiting: Waiting::new(16),
    })
}
