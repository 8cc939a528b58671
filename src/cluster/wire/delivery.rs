//! How what is asked of delivery actors travels, and what they answer.

use super::{Input, Wire, wire_struct, wire_words};
use crate::cluster::figures::NodeFigures;
use crate::delivery::messages::{
    AckEntry, AttachKind, Attached, Census, CloseRecord, DeliveryTrace, Detach, DropReason,
    FullSyncOrder, PublishError, Receipt, Revoked, SessionStatus, Submission, SyncComplete,
    WaitOutcome,
};
use crate::metrics::Totals;
use crate::persistence::messages::DuplicateKey;
use crate::registry::messages::{RoomFrame, SendKind};

wire_struct!(Submission { user, content, duplicate, ephemeral, wait_acked, audience });
wire_struct!(Receipt { event_id, seq, live, offline, duplicate, acked });
wire_struct!(WaitOutcome { acked, unacked });
wire_struct!(AckEntry { user, connection, ack });
wire_struct!(Detach { user, connection });
wire_struct!(SyncComplete { user, connection });
wire_struct!(SessionStatus {
    session,
    connection,
    policy,
    need_full_sync,
    floor,
    pending,
    in_flight,
    created_at,
    acked_at,
});
wire_struct!(DeliveryTrace {
    user,
    session,
    seq,
    published_at,
    durable_at,
    queued_at,
    sent_at,
    acked_at,
    dropped,
});
wire_struct!(CloseRecord { at, session, code });
wire_struct!(Totals {
    connections_native,
    connections_updates,
    connections_socketio,
    published,
    delivered,
    redelivered,
    acked,
    gave_up,
    full_syncs,
});
wire_struct!(NodeFigures { name, slots, lag_ms, totals, census });
wire_struct!(Census { users, sessions_live, sessions_away, in_flight, owed });
wire_words!(FullSyncOrder { 0 => FullSyncOrder::Taken = FullSyncOrder::Taken,
    1 => FullSyncOrder::Unknown = FullSyncOrder::Unknown,
    2 => FullSyncOrder::Unavailable = FullSyncOrder::Unavailable });
wire_words!(Revoked { 0 => Revoked::Forgotten = Revoked::Forgotten,
    1 => Revoked::Unknown = Revoked::Unknown, 2 => Revoked::Unavailable = Revoked::Unavailable });
wire_words!(SendKind { 0 => SendKind::First = SendKind::First,
    1 => SendKind::Redelivery = SendKind::Redelivery });
wire_words!(RoomFrame { 0 => RoomFrame::Presence = RoomFrame::Presence,
    1 => RoomFrame::Signal = RoomFrame::Signal });
wire_words!(DropReason {
    0 => DropReason::Offline = DropReason::Offline,
    1 => DropReason::ConnectionLost = DropReason::ConnectionLost,
    2 => DropReason::GaveUp = DropReason::GaveUp,
    3 => DropReason::TooManyOwed = DropReason::TooManyOwed,
    4 => DropReason::Expired = DropReason::Expired,
    5 => DropReason::Revoked = DropReason::Revoked,
    6 => DropReason::FullSyncOrdered = DropReason::FullSyncOrdered,
});
// What breaks the contract is refused where it comes in; it travels as a failure.
wire_words!(PublishError {
    0 => PublishError::Conflict = PublishError::Conflict,
    1 => PublishError::Overloaded = PublishError::Overloaded,
    2 => PublishError::Unavailable | PublishError::Invalid(_) = PublishError::Unavailable,
    3 => PublishError::Moved = PublishError::Moved,
    4 => PublishError::Forbidden = PublishError::Forbidden,
});

impl Wire for DuplicateKey {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            DuplicateKey::Fresh => 0u8.put(out),
            DuplicateKey::EventId { fingerprint } => {
                1u8.put(out);
                fingerprint.put(out);
            }
            DuplicateKey::Key { key, fingerprint } => {
                2u8.put(out);
                key.put(out);
                fingerprint.put(out);
            }
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            0 => DuplicateKey::Fresh,
            1 => DuplicateKey::EventId { fingerprint: Wire::get(input)? },
            2 => DuplicateKey::Key { key: Wire::get(input)?, fingerprint: Wire::get(input)? },
            _ => return None,
        })
    }
}

impl Wire for AttachKind {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            AttachKind::Plain { greeting, accounts } => {
                0u8.put(out);
                greeting.put(out);
                accounts.put(out);
            }
            AttachKind::Reliable {
                session,
                fresh,
                offline,
                offline_default,
                confirm_sync,
                accounts,
            } => {
                1u8.put(out);
                session.put(out);
                fresh.put(out);
                offline.put(out);
                offline_default.put(out);
                confirm_sync.put(out);
                accounts.put(out);
            }
            AttachKind::Again { session, accounts } => {
                2u8.put(out);
                session.put(out);
                accounts.put(out);
            }
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            0 => AttachKind::Plain { greeting: Wire::get(input)?, accounts: Wire::get(input)? },
            1 => AttachKind::Reliable {
                session: Wire::get(input)?,
                fresh: Wire::get(input)?,
                offline: Wire::get(input)?,
                offline_default: Wire::get(input)?,
                confirm_sync: Wire::get(input)?,
                accounts: Wire::get(input)?,
            },
            2 => AttachKind::Again { session: Wire::get(input)?, accounts: Wire::get(input)? },
            _ => return None,
        })
    }
}

impl Wire for Attached {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Attached::Attached { session } => {
                0u8.put(out);
                session.put(out);
            }
            Attached::TooManyConnections => 1u8.put(out),
            Attached::Unavailable => 2u8.put(out),
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            0 => Attached::Attached { session: Wire::get(input)? },
            1 => Attached::TooManyConnections,
            2 => Attached::Unavailable,
            _ => return None,
        })
    }
}
