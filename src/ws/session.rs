//! WsSession: one connection, from its first frame to its last.
//!
//! It lives on a plain actix context, not inside the response body: a reader that is stuck
//! freezes neither its timers nor its mailbox. What it says goes through the outbox.

mod auth;
mod call;
mod extend;
mod notes;
mod signed;

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, StreamHandler};
use actix_http::ws::Frame;
use bytestring::ByteString;

use self::extend::ToExtensions;
use self::signed::{Keys, Seal};
use super::assembly::{Assembly, Incoming, MessageLimits};
use super::rate::FrameRate;
use crate::auth::Address;
use crate::clock;
use crate::delivery::messages::{AckEntry, SyncComplete};
use crate::dialect::frame;
use crate::extension::Connected;
use crate::gate::Seat;
use crate::protocol::{
    Accounts, ClientError, CloseCode, Command, CommandError, CommandReply, Push, ReplyTo,
    SessionId, SessionRequest,
};
use crate::registry::{Connection, Worker};
use crate::ws::outbox::Pushed;

/// The mailbox only ever sees this connection's own stream.
const MAILBOX_MAX: usize = 4;

/// How long a connection lasts after its peer broke the protocol, for the close frame to be read.
const BROKEN_LINGER: Duration = Duration::from_millis(250);

/// What the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody yet.
    Stranger,
    /// A user without a session.
    Plain,
    /// A session, which may ack.
    Reliable(SessionId),
}

/// What came with the upgrade.
#[derive(Default)]
pub(super) struct UpgradeToken {
    /// The token; never logged.
    pub(super) token: Option<String>,
    /// The session the query asked for.
    pub(super) session: Option<SessionRequest>,
}

impl UpgradeToken {
    fn is_empty(&self) -> bool {
        self.token.is_none() && self.session.is_none()
    }
}

/// The actor.
pub(super) struct WsSession {
    worker: Worker,
    connection: Rc<Connection>,
    assembly: Assembly,
    rate: FrameRate,
    signals: FrameRate,
    keys: Keys,
    to_extensions: Option<ToExtensions>,
    /// What the extensions know it as.
    connected: Option<Box<Connected>>,
    standing: Standing,
    /// What its token is limited to.
    accounts: Accounts,
    upgrade: Option<Box<UpgradeToken>>,
    /// Where it comes from, if that is known.
    address: Option<Address>,
    /// Counts it as one of its address.
    _seat: Seat,
}

impl WsSession {
    pub(super) fn new(
        worker: Worker,
        connection: Rc<Connection>,
        upgrade: UpgradeToken,
        (address, seat): (Option<Address>, Seat),
    ) -> Self {
        // Most connections authenticate later.
        let upgrade = (!upgrade.is_empty()).then(|| Box::new(upgrade));
        Self {
            worker,
            connection,
            assembly: Assembly::default(),
            rate: FrameRate::per_minute(),
            signals: FrameRate::per_second(),
            keys: Keys::default(),
            to_extensions: None,
            connected: None,
            standing: Standing::Stranger,
            accounts: Accounts::default(),
            upgrade,
            address,
            _seat: seat,
        }
    }

    fn say(&self, push: &Push) {
        if self.connection.say(push) == Pushed::Overflow {
            self.worker.close(&self.connection, CloseCode::TooSlow);
        }
    }

    fn answer(&self, push: &Push, to: &ReplyTo) {
        if self.connection.answer(push, to) == Pushed::Overflow {
            self.worker.close(&self.connection, CloseCode::TooSlow);
        }
    }

    fn refuse(&self, error: ClientError) {
        self.say(&Push::Error(error));
    }

    fn refuse_to(&self, error: ClientError, to: &ReplyTo) {
        self.answer(&Push::Error(error), to);
    }

    fn close(&self, code: CloseCode) {
        self.worker.close(&self.connection, code);
    }

    fn limits(&self) -> MessageLimits {
        let limits = &self.worker.config().limits;
        MessageLimits {
            soft_max: limits.message_bytes_max,
            hard_max: limits.message_bytes_hard_max,
        }
    }

    fn take(&mut self, incoming: Incoming, ctx: &mut Context<Self>) {
        match incoming {
            Incoming::Text(text) => self.hear(&text, ctx),
            // Binary messages holding text are read alike.
            Incoming::Binary(bytes) => match ByteString::try_from(bytes) {
                Ok(text) => self.hear(&text, ctx),
                Err(_) => self.refuse_counted(ClientError::InvalidFormat),
            },
            Incoming::TooLarge => self.refuse_counted(ClientError::TooLarge),
            Incoming::Ping(payload) => {
                // A peer that floods pings and reads nothing fills its own outbox and is closed.
                if self.connection.outbox.push(frame::pong(&payload)) == Pushed::Overflow {
                    self.close(CloseCode::TooSlow);
                }
            }
            Incoming::Pong => {}
            Incoming::Close(code) => {
                self.connection.outbox.close(frame::close(code, ""));
                ctx.stop();
            }
            Incoming::Broken(code) => self.end_broken(code, ctx),
        }
    }

    fn hear(&mut self, text: &ByteString, ctx: &mut Context<Self>) {
        match self.connection.dialect.get().dialect().decode(text) {
            Ok(command) => self.obey(command, Seal::None, ctx),
            Err(_) => self.refuse_counted(ClientError::InvalidFormat),
        }
    }

    /// Says why, leaves a moment to read it, and ends: what a broken peer says from here on
    /// cannot be understood, its close frame neither.
    fn end_broken(&self, code: CloseCode, ctx: &mut Context<Self>) {
        self.close(code);
        ctx.run_later(BROKEN_LINGER, |_, ctx| ctx.stop());
    }

    /// Answers a frame that is no command; it counts like one.
    fn refuse_counted(&mut self, error: ClientError) {
        let error = if self.is_within_rate() { error } else { ClientError::RateLimited };
        self.refuse(error);
    }

    fn is_within_rate(&mut self) -> bool {
        let frames_max = self.worker.config().limits.frames_per_minute_max;
        self.rate.allows(frames_max, clock::now())
    }

    fn obey(&mut self, command: Command, seal: Seal, ctx: &mut Context<Self>) {
        match command {
            // Acks and pings are not counted.
            Command::Ack(ack) => {
                if let (Standing::Reliable(_), Some(user)) =
                    (&self.standing, self.connection.user())
                {
                    self.worker.ack(AckEntry { user, connection: self.connection.id, ack });
                }
            }
            Command::Ping(to) => self.answer(&Push::Pong { timestamp: clock::wall() }, &to),
            Command::Signed(frame) => self.open_envelope(&frame, seal, ctx),
            counted if !self.is_within_rate() => {
                self.refuse_to(ClientError::RateLimited, &counted.reply_to());
            }
            Command::Auth(request) => self.authenticate(request, ctx),
            Command::SyncComplete(to) => self.sync_complete(&to),
            Command::Call(call) => self.call(call),
            Command::Note(_) if seal == Seal::None && self.worker.config().notes.require_signed => {
                self.refuse(ClientError::BadSignature);
            }
            Command::Note(command) => self.obey_note(command, ctx),
            Command::Other { kind, frame } => self.extend(kind, frame),
        }
    }

    fn sync_complete(&self, to: &ReplyTo) {
        let (Standing::Reliable(_), Some(user)) = (&self.standing, self.connection.user()) else {
            let error = ClientError::AuthRequired;
            let error = CommandError::new(error.code(), error.message());
            self.answer(&Push::Reply(Err(error)), to);
            return;
        };
        let port = self.worker.parts().deliveries.of(&user);
        let done = SyncComplete { user: user.clone(), connection: self.connection.id };
        if port.sync_complete.try_send(done).is_err() {
            // The client is told, so that it says it again.
            self.refuse_to(ClientError::Unavailable, to);
            return;
        }
        self.answer(&Push::Reply(Ok(CommandReply::default())), to);
    }
}

impl Actor for WsSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        self.say(&Push::Established);
        self.authenticate_by_upgrade(ctx);
    }

    fn stopped(&mut self, _ctx: &mut Self::Context) {
        self.worker.closed(&self.connection);
    }
}

impl StreamHandler<Result<Frame, CloseCode>> for WsSession {
    fn handle(&mut self, frame: Result<Frame, CloseCode>, ctx: &mut Self::Context) {
        self.connection.heard();
        if self.connection.outbox.is_closing() {
            // The hub has said its last word: only the peer's close frame is of interest.
            if matches!(frame, Ok(Frame::Close(_))) {
                ctx.stop();
            }
            return;
        }
        match frame {
            Ok(frame) => {
                let limits = self.limits();
                if let Some(incoming) = self.assembly.take(frame, limits) {
                    self.take(incoming, ctx);
                }
            }
            Err(code) => self.end_broken(code, ctx),
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
