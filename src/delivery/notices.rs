//! The way of the hub's own events out of delivery: bounded, and never waited for.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::metrics::Metrics;
use crate::protocol::{HubEvent, HubEventKinds, Timestamp};

/// Events that may wait to be taken, of all delivery actors together.
const WAITING_MAX: usize = 16_384;

/// How often lost events are logged at most.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub event: HubEvent,
    /// When.
    pub at: Timestamp,
}

/// Where a ReliableDelivery tells what happened.
#[derive(Clone, Debug)]
pub struct Notices {
    kinds: HubEventKinds,
    sender: Option<Sender<Notice>>,
    metrics: Metrics,
    lost: u64,
    warned_at: Option<Instant>,
}

impl Notices {
    /// Tells events of these kinds to whoever has the other end.
    pub fn new(kinds: HubEventKinds, metrics: Metrics) -> (Self, Receiver<Notice>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { kinds, sender: Some(sender), metrics, lost: 0, warned_at: None }, receiver)
    }

    /// Tells nobody anything.
    pub fn nobody(metrics: Metrics) -> Self {
        Self { kinds: HubEventKinds::NONE, sender: None, metrics, lost: 0, warned_at: None }
    }

    /// Passes an event on. One that does not fit is lost, counted, and logged once a minute.
    pub(super) fn tell(&mut self, notice: Notice, now: Instant) {
        let Some(sender) = &self.sender else { return };
        if sender.try_send(notice).is_ok() {
            return;
        }
        self.lost += 1;
        self.metrics.hub_event_lost();
        if self.warned_at.is_none_or(|warned_at| now >= warned_at + WARN_EVERY) {
            self.warned_at = Some(now);
            log::warn!("{} events of the hub itself are lost: nobody takes them", self.lost);
            self.lost = 0;
        }
    }

    /// Which kinds are wanted.
    pub(super) fn kinds(&self) -> HubEventKinds {
        self.kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::UserId;

    #[test]
    fn what_does_not_fit_is_counted_and_holds_nobody_up() {
        let metrics = Metrics::new();
        let (mut notices, mut receiver) = Notices::new(HubEventKinds::all(), metrics.clone());
        let user = UserId::new("alice").unwrap();
        let event = HubEvent::SessionClosed { user, session: None, code: None };
        let now = crate::clock::now();
        for at in 0..=WAITING_MAX {
            notices.tell(Notice { event: event.clone(), at: Timestamp(at as i64) }, now);
        }
        assert_eq!(notices.warned_at, Some(now));
        assert!(metrics.text().contains("staffetta_hub_events_lost_total 1\n"));
        assert_eq!(receiver.try_recv().unwrap().at, Timestamp(0));
    }
}
