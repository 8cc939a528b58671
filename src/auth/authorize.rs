//! The host's say in who may connect and who may publish what.

use futures_util::future::{BoxFuture, FutureExt, ready};

use super::{Caller, Identity};
use crate::protocol::{NewEvent, UserId};

/// Asked after a token or key was found good. Everything is allowed unless it says otherwise.
pub trait Authorize: Send + Sync + 'static {
    /// Whether this user may have a connection.
    fn connect<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, bool> {
        let _ = identity;
        ready(true).boxed()
    }

    /// Whether this caller of the HTTP API may publish this event; `user` is none for a
    /// broadcast.
    fn publish<'a>(
        &'a self,
        caller: &'a Caller,
        user: Option<&'a UserId>,
        event: &'a NewEvent,
    ) -> BoxFuture<'a, bool> {
        let _ = (caller, user, event);
        ready(true).boxed()
    }
}

/// Allows everything.
#[derive(Clone, Copy, Debug)]
pub struct EveryoneMay;

impl Authorize for EveryoneMay {}
