//! What happens in the hub itself, on its way to the host and to a webhook, many per post.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

use super::post::{Envelope, Post};
use super::room::Seat;
use super::stage::{Stage, Stages};
use super::target::Target;
use crate::delivery::notices::Notice;
use crate::protocol::{EventId, HubEvent, HubEventKinds, Seq, SessionId, UserId};

/// Events in one post at most.
const BATCH_MAX: usize = 100;

/// How long an event waits for others to be posted with.
const BATCH_WAIT: Duration = Duration::from_millis(100);

/// The kind of a post of events.
const KIND: &str = "events";

/// A host's ear for what happens in the hub.
pub type EventListener = Arc<dyn Fn(&HubEvent) + Send + Sync>;

/// The task that passes events on.
pub(super) struct Feed {
    pub(super) notices: Receiver<Notice>,
    pub(super) listener: Option<EventListener>,
    pub(super) target: Option<Arc<Target>>,
    /// Which kinds are posted.
    pub(super) kinds: HubEventKinds,
    pub(super) stages: Stages,
    /// Free when the task is over.
    pub(super) seat: Option<Seat>,
}

impl Feed {
    /// Passes events on until the hub is finishing and none is left.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        while self.gather(&mut batch).await {
            for notice in &batch {
                self.tell_listener(&notice.event);
            }
            self.post(&batch);
            batch.clear();
        }
        drop(self.seat);
    }

    /// Waits for an event, and a little for more; says whether there was one.
    async fn gather(&mut self, batch: &mut Vec<Notice>) -> bool {
        let stages = self.stages.clone();
        let finishing = stages.reached(Stage::Finishing);
        tokio::pin!(finishing);
        tokio::select! {
            biased;
            count = self.notices.recv_many(batch, BATCH_MAX) => if count == 0 { return false },
            () = &mut finishing => {
                // Closed, it still gives out what it holds.
                self.notices.close();
                return self.notices.recv_many(batch, BATCH_MAX).await > 0;
            }
        }
        let deadline = tokio::time::sleep(BATCH_WAIT);
        tokio::pin!(deadline);
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            tokio::select! {
                biased;
                count = self.notices.recv_many(batch, room) => if count == 0 { break },
                () = &mut deadline => break,
                () = &mut finishing => break,
            }
        }
        true
    }

    fn tell_listener(&self, event: &HubEvent) {
        let Some(listener) = &self.listener else { return };
        if catch_unwind(AssertUnwindSafe(|| listener(event))).is_err() {
            log::error!("the host's listener panicked at a {} event", event.kind().name());
        }
    }

    fn post(&self, batch: &[Notice]) {
        let Some(target) = &self.target else { return };
        let is_posted = |notice: &&Notice| self.kinds.contains(notice.event.kind());
        let posted: Vec<_> = batch.iter().filter(is_posted).collect();
        let Some(first) = posted.first() else { return };
        let id = Uuid::now_v7();
        let (kind, created_at) = (KIND.to_owned(), first.at);
        target.submit(Post { id, kind, body: spell(&posted), created_at }, None);
    }
}

/// The body of a post of events.
fn spell(notices: &[&Notice]) -> String {
    let spelled = notices.iter().filter_map(|notice| {
        let body = Fields::from(&notice.event);
        let (id, kind) = (Uuid::now_v7(), notice.event.kind().name());
        serde_json::to_string(&Envelope { id, kind, at: notice.at, body: &body }).ok()
    });
    format!("{{\"events\":[{}]}}", spelled.collect::<Vec<_>>().join(","))
}

/// An event's own fields as they are spelled.
#[derive(Serialize)]
#[serde(untagged)]
enum Fields<'a> {
    Opened { user: &'a UserId, session: Option<&'a SessionId>, dialect: &'static str },
    Closed { user: &'a UserId, session: Option<&'a SessionId>, code: Option<u16> },
    GaveUp { user: &'a UserId, session: &'a SessionId, event_id: Option<EventId> },
    Settled { user: &'a UserId, session: &'a SessionId, event_id: EventId, seq: Seq },
}

impl<'a> From<&'a HubEvent> for Fields<'a> {
    fn from(event: &'a HubEvent) -> Self {
        match event {
            HubEvent::SessionOpened { user, session, dialect } => {
                Fields::Opened { user, session: session.as_ref(), dialect }
            }
            HubEvent::SessionClosed { user, session, code } => {
                let code = code.map(|code| code.code());
                Fields::Closed { user, session: session.as_ref(), code }
            }
            HubEvent::GaveUp { user, session, event } => {
                Fields::GaveUp { user, session, event_id: *event }
            }
            HubEvent::DeliverySettled { user, session, event_id, seq } => {
                Fields::Settled { user, session, event_id: *event_id, seq: *seq }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::protocol::{CloseCode, Timestamp};

    #[test]
    fn every_event_is_spelled_with_its_kind_its_time_and_what_it_is_about() {
        let user = UserId::new("alice").unwrap();
        let session = SessionId::new("tab").unwrap();
        let id = EventId(Uuid::nil());
        let events = [
            HubEvent::SessionOpened { user: user.clone(), session: None, dialect: "native" },
            HubEvent::SessionClosed {
                user: user.clone(),
                session: Some(session.clone()),
                code: Some(CloseCode::Replaced),
            },
            HubEvent::GaveUp { user: user.clone(), session: session.clone(), event: Some(id) },
            HubEvent::DeliverySettled { user, session, event_id: id, seq: Seq(7) },
        ];
        let notices = events.map(|event| Notice { event, at: Timestamp(5) });
        let mut body: Value = serde_json::from_str(&spell(&notices.each_ref())).unwrap();
        let mut ids = Vec::new();
        for event in body["events"].as_array_mut().unwrap() {
            ids.push(event.as_object_mut().unwrap().remove("id").unwrap().to_string());
        }
        assert!(ids.is_sorted() && ids.len() == 4, "{ids:?}");
        let nil = Uuid::nil();
        assert_eq!(
            body,
            json!({"events": [
                {"kind": "session_opened", "at": 5, "user": "alice", "session": null,
                    "dialect": "native"},
                {"kind": "session_closed", "at": 5, "user": "alice", "session": "tab",
                    "code": 4409},
                {"kind": "session_gave_up", "at": 5, "user": "alice", "session": "tab",
                    "event_id": nil},
                {"kind": "delivery_settled", "at": 5, "user": "alice", "session": "tab",
                    "event_id": nil, "seq": 7},
            ]})
        );
    }
}
