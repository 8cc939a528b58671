//! Which of what the table decided is told to the host as an event of the hub itself.

use super::PendingTable;
use crate::delivery::messages::CloseRecord;
use crate::delivery::output::Output;
use crate::delivery::window::InFlight;
use crate::dialect::DialectKind;
use crate::protocol::{CloseCode, EventId, HubEvent, HubEventKind, SessionId, UserId};

impl PendingTable {
    /// Tells of an event, if its kind is wanted; else it costs nothing.
    fn notice(&mut self, kind: HubEventKind, event: impl FnOnce() -> HubEvent) {
        if self.limits.notices.contains(kind) {
            self.outputs.push(Output::Notice(event()));
        }
    }

    /// Tells that a connection is attached.
    pub(super) fn notice_opened(
        &mut self,
        user: &UserId,
        session: Option<&SessionId>,
        dialect: DialectKind,
    ) {
        self.notice(HubEventKind::SessionOpened, || HubEvent::SessionOpened {
            user: user.clone(),
            session: session.cloned(),
            dialect: dialect.name(),
        });
    }

    /// Tells that a session is given up.
    pub(super) fn notice_gave_up(&mut self, user: &UserId, session: &SessionId, event: EventId) {
        self.notice(HubEventKind::SessionGaveUp, || HubEvent::GaveUp {
            user: user.clone(),
            session: session.clone(),
            event: Some(event),
        });
    }

    /// Tells what an ack settled.
    pub(super) fn notice_settled(
        &mut self,
        user: &UserId,
        session: &SessionId,
        settled: &[InFlight],
    ) {
        if !self.limits.notices.contains(HubEventKind::DeliverySettled) {
            return;
        }
        let notices = settled.iter().map(|entry| HubEvent::DeliverySettled {
            user: user.clone(),
            session: session.clone(),
            event_id: entry.content.id,
            seq: entry.seq,
        });
        self.outputs.extend(notices.map(Output::Notice));
    }

    /// Remembers that a connection ended, and tells of it.
    pub(super) fn notice_closed(
        &mut self,
        user: &UserId,
        session: Option<&SessionId>,
        code: Option<CloseCode>,
    ) {
        let record = CloseRecord { at: self.wall, session: session.cloned(), code };
        self.closes.note(user, record);
        self.notice(HubEventKind::SessionClosed, || HubEvent::SessionClosed {
            user: user.clone(),
            session: session.cloned(),
            code,
        });
    }
}
