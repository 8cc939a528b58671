//! How the internal language travels.

use bytestring::ByteString;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Input, Wire, put_text, wire_newtypes, wire_struct, wire_words};
use crate::dialect::DialectKind;
use crate::dialect::socketio::Marking;
use crate::protocol::{
    Accounts, Ack, Action, Audience, CloseCode, ConnectionId, Epoch, Event, EventContent, EventId,
    NodeNumber, NoteId, OfflinePolicy, Present, Push, Seq, SessionId, SessionRequest, Slot,
    Timestamp, UserId,
};

wire_newtypes!(Seq(i64), Timestamp(i64), EventId(Uuid), Slot(u8), Epoch(i64), NodeNumber(u32));
wire_struct!(ConnectionId { worker, place, generation });
wire_struct!(Audience { except, room });
wire_struct!(Event { content, seq });
wire_struct!(Present { user, connections });
wire_struct!(EventContent {
    id,
    kind,
    data,
    account,
    action,
    silent,
    args,
    exclude_session,
    published_at,
    expires_at,
});
wire_words!(Action { 0 => Action::New = Action::New, 1 => Action::Update = Action::Update,
    2 => Action::Delete = Action::Delete });
wire_words!(OfflinePolicy { 0 => OfflinePolicy::FullSync = OfflinePolicy::FullSync,
    1 => OfflinePolicy::Replay = OfflinePolicy::Replay });
wire_words!(DialectKind {
    0 => DialectKind::Native = DialectKind::Native,
    1 => DialectKind::Updates = DialectKind::Updates,
    2 => DialectKind::SocketIo(Marking::Bare) = DialectKind::SocketIo(Marking::Bare),
    3 => DialectKind::SocketIo(Marking::Acked) = DialectKind::SocketIo(Marking::Acked),
    4 => DialectKind::SocketIo(Marking::Offset) = DialectKind::SocketIo(Marking::Offset),
});
wire_words!(CloseCode {
    0 => CloseCode::GoingAway = CloseCode::GoingAway,
    1 => CloseCode::ProtocolError = CloseCode::ProtocolError,
    2 => CloseCode::InvalidText = CloseCode::InvalidText,
    3 => CloseCode::TooBig = CloseCode::TooBig,
    4 => CloseCode::InternalError = CloseCode::InternalError,
    5 => CloseCode::Restart = CloseCode::Restart,
    6 => CloseCode::AuthFailed = CloseCode::AuthFailed,
    7 => CloseCode::Revoked = CloseCode::Revoked,
    8 => CloseCode::GaveUp = CloseCode::GaveUp,
    9 => CloseCode::Replaced = CloseCode::Replaced,
    10 => CloseCode::TooSlow = CloseCode::TooSlow,
    11 => CloseCode::LimitExceeded = CloseCode::LimitExceeded,
});

macro_rules! wire_names {
    ($($name:ident),*) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                put_text(self.as_str(), out);
            }

            fn get(input: &mut Input<'_>) -> Option<Self> {
                $name::new(input.text()?).ok()
            }
        }
    )*};
}

wire_names!(UserId, SessionId, NoteId);

impl Wire for Uuid {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        input.array().map(Uuid::from_bytes)
    }
}

impl Wire for Box<RawValue> {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(self.get(), out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        RawValue::from_string(input.text()?.to_owned()).ok()
    }
}

impl Wire for ByteString {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(self, out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        input.text().map(ByteString::from)
    }
}

impl Wire for Accounts {
    fn put(&self, out: &mut Vec<u8>) {
        let listed: Option<Vec<String>> =
            self.listed().map(|listed| listed.iter().map(|account| account.to_string()).collect());
        listed.put(out);
        self.has_default().put(out);
        self.session().map(str::to_owned).put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let listed: Option<Vec<String>> = Wire::get(input)?;
        let default = bool::get(input)?.then_some(crate::protocol::DEFAULT_ACCOUNT);
        let session: Option<String> = Wire::get(input)?;
        Some(Accounts::new(listed.as_deref()).or_default(default).of_session(session.as_deref()))
    }
}

impl Wire for Ack {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            // As a list of one: nodes of other versions know it so.
            Ack::Event(event) => {
                0u8.put(out);
                1u32.put(out);
                event.put(out);
            }
            Ack::Events(events) => {
                0u8.put(out);
                (events.len() as u32).put(out);
                for event in events {
                    event.put(out);
                }
            }
            Ack::At(seq) => {
                1u8.put(out);
                seq.put(out);
            }
            Ack::UpTo(seq) => {
                2u8.put(out);
                seq.put(out);
            }
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            0 => {
                let events: Vec<EventId> = Wire::get(input)?;
                if let [event] = events[..] { Ack::Event(event) } else { Ack::Events(events) }
            }
            1 => Ack::At(Wire::get(input)?),
            2 => Ack::UpTo(Wire::get(input)?),
            _ => return None,
        })
    }
}

impl Wire for SessionRequest {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            SessionRequest::Plain => 0u8.put(out),
            SessionRequest::New => 1u8.put(out),
            SessionRequest::Named(session) => {
                2u8.put(out);
                session.put(out);
            }
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            0 => SessionRequest::Plain,
            1 => SessionRequest::New,
            2 => SessionRequest::Named(Wire::get(input)?),
            _ => return None,
        })
    }
}

/// What a delivery actor says to a connection; nothing else crosses nodes.
impl Wire for Push {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Push::AuthOk { user, session, need_full_sync, cursor } => {
                0u8.put(out);
                user.put(out);
                session.put(out);
                need_full_sync.put(out);
                cursor.put(out);
            }
            Push::AuthSuccess { user, secret } => {
                1u8.put(out);
                user.put(out);
                secret.put(out);
            }
            Push::Established
            | Push::AuthFailed(_)
            | Push::Pong { .. }
            | Push::Note(_)
            | Push::Extension(_)
            | Push::Error(_)
            | Push::Reply(_)
            | Push::Reconnect { .. } => {
                log::error!("only its own node says this to a connection: {self:?}");
                u8::MAX.put(out);
            }
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some(match u8::get(input)? {
            0 => Push::AuthOk {
                user: Wire::get(input)?,
                session: Wire::get(input)?,
                need_full_sync: Wire::get(input)?,
                cursor: Wire::get(input)?,
            },
            1 => Push::AuthSuccess { user: Wire::get(input)?, secret: Wire::get(input)? },
            _ => return None,
        })
    }
}
