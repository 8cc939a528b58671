//! What a handler of the host holds: the client that speaks to it, and what was said.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handle::{Handle, Received};
use crate::dialect::frame;
use crate::dialect::socketio::packet::{ATTACHMENTS_MAX, Args, is_reserved, spell_event};
use crate::protocol::{SessionId, UserId};
use crate::ws::outbox::Pushed;

/// Why an emit did not go out, or was not acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// The client is gone, or reads too slowly.
    #[error("the client is gone")]
    Gone,
    /// The client did not ack in time.
    #[error("the client did not ack in time")]
    Timeout,
    /// The client owes too many acks.
    #[error("the client owes too many acks")]
    TooMany,
    /// Socket.IO keeps the name of the event for itself.
    #[error("Socket.IO keeps the name of the event for itself")]
    ReservedName,
}

/// Arguments of an event or an ack: a JSON array, and the bytes its placeholders stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoArgs {
    json: String,
    attachments: Vec<Bytes>,
}

impl Default for IoArgs {
    fn default() -> Self {
        Self { json: "[]".to_owned(), attachments: Vec::new() }
    }
}

impl IoArgs {
    /// These arguments: a tuple, or a list.
    ///
    /// # Errors
    /// When they cannot be written as a JSON array.
    pub fn new(args: &impl Serialize) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_string(args)?;
        if json.starts_with('[') {
            return Ok(Self { json, attachments: Vec::new() });
        }
        Err(serde::ser::Error::custom("arguments are a tuple or a list"))
    }

    /// With bytes: `{"_placeholder":true,"num":0}` in the arguments stands for the first. At most
    /// ten are sent.
    #[must_use]
    pub fn attach(mut self, attachments: Vec<Bytes>) -> Self {
        self.attachments = attachments;
        self.attachments.truncate(ATTACHMENTS_MAX);
        self
    }

    pub(super) fn received(args: Args, attachments: Vec<Bytes>) -> Self {
        Self { json: args.json, attachments }
    }

    /// One object, which is JSON already.
    pub(super) fn object(json: &str) -> Self {
        Self { json: format!("[{json}]"), attachments: Vec::new() }
    }

    /// Reads the arguments, as a tuple or a list.
    ///
    /// # Errors
    /// When they have another shape.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.json)
    }

    /// The arguments as a JSON array.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The bytes that came with them.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// A packet with these arguments, as the frames it takes: they stay together.
    pub(super) fn framed(&self, head: impl FnOnce(&str, usize) -> String) -> Bytes {
        let text = frame::text(&head(&self.json, self.attachments.len()));
        if self.attachments.is_empty() {
            return text;
        }
        let mut frames = BytesMut::from(&text[..]);
        for attachment in &self.attachments {
            frames.extend_from_slice(&frame::binary(attachment));
        }
        frames.freeze()
    }
}

/// A client in a namespace. Cheap to clone, and may be used from any thread, also after its
/// handler is done.
#[derive(Clone, Debug)]
pub struct IoSocket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: Arc<Handle>,
    namespace: String,
    sid: String,
    user: Option<UserId>,
    session: Option<SessionId>,
}

impl IoSocket {
    pub(super) fn new(
        handle: Arc<Handle>,
        namespace: String,
        sid: String,
        (user, session): (Option<UserId>, Option<SessionId>),
    ) -> Self {
        Self(Arc::new(Inner { handle, namespace, sid, user, session }))
    }

    /// Its name in the namespace, which the client knows too.
    pub fn sid(&self) -> &str {
        &self.0.sid
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Whose it is; none in a namespace that is open to all.
    pub fn user(&self) -> Option<&UserId> {
        self.0.user.as_ref()
    }

    /// Its session, if it is a reliable one.
    pub fn session(&self) -> Option<&SessionId> {
        self.0.session.as_ref()
    }

    /// Says something to the client, at most once.
    ///
    /// # Errors
    /// When it is gone, or the name is not to be had.
    pub fn emit(&self, event: &str, args: &IoArgs) -> Result<(), IoError> {
        self.push(event, args, None)
    }

    /// Says something to the client, and waits for its ack.
    ///
    /// # Errors
    /// When it is gone, or does not ack in time, or the name is not to be had.
    pub async fn emit_with_ack(
        &self,
        event: &str,
        args: &IoArgs,
        timeout: Duration,
    ) -> Result<IoArgs, IoError> {
        let (id, answer) = self.0.handle.expect_ack().ok_or(IoError::TooMany)?;
        self.push(event, args, Some(id))?;
        tokio::select! {
            answer = tokio::time::timeout(timeout, answer) => match answer {
                Ok(Ok(args)) => Ok(args),
                Ok(Err(_)) => Err(IoError::Gone),
                Err(_) => Err(IoError::Timeout),
            },
            () = self.0.handle.ended.cancelled() => Err(IoError::Gone),
        }
    }

    /// Puts the client out of the namespace.
    pub async fn disconnect(&self) {
        // A task that is gone has put it out already.
        let _ = self.0.handle.inbox.send(Received::Leave(self.0.namespace.clone())).await;
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.0.handle
    }

    fn push(&self, event: &str, args: &IoArgs, id: Option<u64>) -> Result<(), IoError> {
        if is_reserved(event) {
            return Err(IoError::ReservedName);
        }
        let spell =
            |json: &str, attachments| spell_event(&self.0.namespace, event, json, id, attachments);
        match self.0.handle.push(args.framed(spell)) {
            Pushed::Queued => Ok(()),
            Pushed::Overflow | Pushed::Closed => Err(IoError::Gone),
        }
    }
}
