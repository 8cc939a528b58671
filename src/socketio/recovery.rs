//! Connection state recovery: a client that comes back is sent what it missed, from the log.
//!
//! Nothing is kept for it: the offset is the `seq` of the last event it got, and the log is
//! durable. Who it is its token says, so its `pid` needs no proof.

use tokio::sync::oneshot;

use super::handle::random_sid;
use super::namespaces::ConnectPayload;
use super::session::Session;
use crate::auth::Identity;
use crate::clock;
use crate::dialect::frame;
use crate::dialect::socketio::packet::{ROOT, spell_connect};
use crate::dialect::socketio::parse_offset;
use crate::persistence::messages::ReadPage;
use crate::protocol::Event;
use crate::ws::admission::accounts;

/// Events read at a time.
const PAGE_EVENTS_MAX: usize = 256;

/// Bytes of events read at a time.
const PAGE_BYTES_MAX: usize = 256 * 1024;

/// The longest `pid` of ours.
const PID_BYTES_MAX: usize = 64;

impl Session {
    /// Answers the CONNECT of an attached client whose events are kept, sends what it missed, and
    /// then what was kept.
    pub(super) async fn recover(
        &mut self,
        sid: &str,
        identity: &Identity,
        brought: &ConnectPayload,
    ) {
        let missed = match (&brought.pid, &brought.offset) {
            (Some(pid), Some(offset)) if !pid.is_empty() && pid.len() <= PID_BYTES_MAX => {
                let missed = self.missed(identity, offset).await;
                missed.map(|events| (pid.clone(), events))
            }
            (Some(_) | None, _) => None,
        };
        let (pid, events) = match missed {
            Some((pid, events)) => (pid, events),
            None => (random_sid().unwrap_or_default(), Vec::new()),
        };
        self.handle.say(&spell_connect(ROOT, sid, Some(&pid)));
        let last = events.last().and_then(|event| event.seq);
        let dialect = self.connection.dialect.get();
        for event in &events {
            self.handle.push(frame::text(&dialect.dialect().encode_event(event)));
        }
        for kept in self.connection.release(last) {
            self.handle.push(kept.framed(dialect).clone());
        }
    }

    /// What came after `offset`; none when the log no longer tells, or there is more of it than
    /// an outbox holds.
    async fn missed(&self, identity: &Identity, offset: &str) -> Option<Vec<Event>> {
        let mut after = parse_offset(offset)?;
        let accounts = accounts(identity, self.connection.dialect.get())
            .of_session(identity.session.as_deref());
        let mut missed = Vec::new();
        let mut bytes = 0;
        loop {
            let (reply, answer) = oneshot::channel();
            let user = identity.user.clone();
            let (events_max, bytes_max) = (PAGE_EVENTS_MAX, PAGE_BYTES_MAX);
            let read = ReadPage { user, after, now: clock::wall(), events_max, bytes_max, reply };
            self.state.persistence().read_page.send(read).await.ok()?;
            let page = answer.await.ok()?.ok()?;
            if after < page.pruned {
                return None;
            }
            bytes += page.events.iter().map(|event| event.content.bytes()).sum::<usize>();
            if bytes > self.worker.config().limits.outbox_bytes_max / 2 {
                return None;
            }
            missed.extend(page.events.into_iter().filter(|event| accounts.take(&event.content)));
            if !page.more || page.cursor <= after {
                return Some(missed);
            }
            after = page.cursor;
        }
    }
}
