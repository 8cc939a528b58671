//! The internal language of the hub: data only, the same whichever dialect a client speaks.
//!
//! Nothing here knows actix, Diesel or the spelling of a wire.

mod audience;
mod close;
mod command;
mod error;
mod event;
mod hub_event;
mod ids;
mod note;
mod position;
mod push;
mod reply;
mod session;
mod signed;

pub(crate) use self::audience::only_session;
pub use self::audience::{Accounts, Audience, SESSION_DELETE};
pub use self::close::{CloseCode, ReconnectAdvice};
pub use self::command::{Ack, AuthRequest, Call, Command, SessionRequest};
pub use self::error::ClientError;
pub use self::event::{
    Action, DEFAULT_ACCOUNT, Event, EventContent, EventError, NewEvent, is_account,
};
pub use self::hub_event::{HubEvent, HubEventKind, HubEventKinds};
pub use self::ids::{
    ConnectionId, Epoch, EventId, IdError, NodeNumber, NoteId, SessionId, Slot, UserId,
};
pub use self::note::{NoteCommand, NotePush, NoteRefusal, Present};
pub use self::position::{Seq, Timestamp};
pub use self::push::{AuthRefusal, Push};
pub use self::reply::{CommandError, CommandReply, Reference, ReplyTo};
pub use self::session::{OfflinePolicy, SessionRecord};
pub use self::signed::SignedFrame;
