//! What the hub tells of itself: sessions that come and go, and deliveries that are settled.

use serde::{Deserialize, Serialize};

use super::{CloseCode, EventId, Seq, SessionId, UserId};

/// Something that happened in the hub. A plain connection has no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubEvent {
    /// A session, or a plain client, got a connection.
    SessionOpened {
        /// Whose.
        user: UserId,
        /// Which.
        session: Option<SessionId>,
        /// How its connection spells.
        dialect: &'static str,
    },
    /// A connection ended. The session is kept, unless [`HubEvent::GaveUp`] came before or it
    /// was revoked.
    SessionClosed {
        /// Whose.
        user: UserId,
        /// Which.
        session: Option<SessionId>,
        /// Why, if delivery ended it; none if the client or its worker did.
        code: Option<CloseCode>,
    },
    /// An event stayed unacked through every redelivery: the session is deleted.
    GaveUp {
        /// Whose.
        user: UserId,
        /// Which.
        session: SessionId,
        /// The event that was not acked.
        event: Option<EventId>,
    },
    /// A session acked an event that was in flight.
    DeliverySettled {
        /// Whose.
        user: UserId,
        /// Which.
        session: SessionId,
        /// What.
        event_id: EventId,
        /// Its place.
        seq: Seq,
    },
}

/// The kinds of [`HubEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the kind of the event it is named after")]
pub enum HubEventKind {
    SessionOpened,
    SessionClosed,
    SessionGaveUp,
    DeliverySettled,
}

impl HubEventKind {
    /// All there are.
    pub const ALL: [HubEventKind; 4] = [
        HubEventKind::SessionOpened,
        HubEventKind::SessionClosed,
        HubEventKind::SessionGaveUp,
        HubEventKind::DeliverySettled,
    ];

    /// Its name on the wire and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            HubEventKind::SessionOpened => "session_opened",
            HubEventKind::SessionClosed => "session_closed",
            HubEventKind::SessionGaveUp => "session_gave_up",
            HubEventKind::DeliverySettled => "delivery_settled",
        }
    }

    fn bit(self) -> u8 {
        match self {
            HubEventKind::SessionOpened => 1,
            HubEventKind::SessionClosed => 2,
            HubEventKind::SessionGaveUp => 4,
            HubEventKind::DeliverySettled => 8,
        }
    }
}

impl HubEvent {
    /// Its kind.
    pub fn kind(&self) -> HubEventKind {
        match self {
            HubEvent::SessionOpened { .. } => HubEventKind::SessionOpened,
            HubEvent::SessionClosed { .. } => HubEventKind::SessionClosed,
            HubEvent::GaveUp { .. } => HubEventKind::SessionGaveUp,
            HubEvent::DeliverySettled { .. } => HubEventKind::DeliverySettled,
        }
    }
}

/// A set of kinds: which events somebody wants to hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubEventKinds(u8);

impl HubEventKinds {
    /// No kind at all.
    pub const NONE: HubEventKinds = HubEventKinds(0);

    /// Every kind.
    pub fn all() -> Self {
        HubEventKind::ALL.into_iter().collect()
    }

    /// Whether `kind` is one of them.
    pub fn contains(self, kind: HubEventKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<HubEventKind> for HubEventKinds {
    fn from_iter<I: IntoIterator<Item = HubEventKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | kind.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_spelled_in_the_configuration_as_on_the_wire() {
        for kind in HubEventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set: HubEventKinds = [HubEventKind::SessionGaveUp].into_iter().collect();
        for kind in HubEventKind::ALL {
            assert_eq!(set.contains(kind), kind == HubEventKind::SessionGaveUp);
            assert!(HubEventKinds::all().contains(kind) && !HubEventKinds::NONE.contains(kind));
        }
        assert!(HubEventKinds::NONE.is_empty() && !set.is_empty());
    }
}
