//! Frames in signed envelopes, on a live connection.

use actix::Context;

use super::{Standing, WsSession};
use crate::auth::SessionKeys;
use crate::clock;
use crate::protocol::{ClientError, Command, SignedFrame};

/// Whether a command came in an envelope whose signature is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    None,
    Good,
}

/// The keys a connection's client may sign with.
#[derive(Debug, Default)]
pub(super) struct Keys {
    current: Option<Box<SessionKeys>>,
    /// Of the token before: what was signed while it was renewed is still on its way.
    before: Option<Box<SessionKeys>>,
}

impl Keys {
    /// Takes the keys of the connection's token, or of a new one.
    pub(super) fn renew(&mut self, keys: Box<SessionKeys>) {
        self.before = self.current.replace(keys);
    }
}

impl WsSession {
    /// Opens an envelope and obeys what is in it. Who is nobody yet may put anything in one, and
    /// an `auth` is accepted on its token alone: a client that comes back signs its first ones,
    /// sometimes two, with the key of the connection before.
    pub(super) fn open_envelope(
        &mut self,
        frame: &SignedFrame,
        seal: Seal,
        ctx: &mut Context<Self>,
    ) {
        if seal == Seal::Good {
            self.refuse_counted(ClientError::BadSignature);
            return;
        }
        let is_good = self.standing == Standing::Stranger || self.is_genuine(frame);
        match self.connection.dialect.get().dialect().decode(&frame.payload) {
            Ok(command @ Command::Auth(_)) => self.obey(command, Seal::Good, ctx),
            Ok(_) | Err(_) if !is_good => self.refuse_counted(ClientError::BadSignature),
            Ok(command) => self.obey(command, Seal::Good, ctx),
            Err(_) => self.refuse_counted(ClientError::InvalidFormat),
        }
    }

    fn is_genuine(&self, frame: &SignedFrame) -> bool {
        let Some(user) = self.connection.user() else { return false };
        let now = clock::wall();
        let keys = [self.keys.current.as_deref(), self.keys.before.as_deref()];
        let is_signed = keys.into_iter().flatten().any(|keys| match keys.check(frame, now) {
            Ok(()) => true,
            Err(error) => {
                log::debug!(connection_id:% = self.connection.id; "an envelope of {user:?} is refused: {error}");
                false
            }
        });
        // Used up only by who could sign it.
        is_signed
            && frame.nonce.len() > 2
            && self.worker.parts().nonces.take(&user, &frame.nonce, clock::now())
    }
}
