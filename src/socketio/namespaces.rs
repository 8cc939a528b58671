//! How a client joins and leaves a namespace: who it is, and what it is told first.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::handle::random_sid;
use super::session::Session;
use super::socket::{IoArgs, IoSocket};
use super::state::Layer;
use crate::auth::Identity;
use crate::clock;
use crate::config::Reject;
use crate::delivery::messages::{AttachKind, Attached, Detach, SyncComplete};
use crate::dialect::socketio::Marking;
use crate::dialect::socketio::events::SERVER_VERSION;
use crate::dialect::socketio::packet::{
    ROOT, spell_connect, spell_connect_error, spell_disconnect, spell_event,
};
use crate::dialect::{DialectKind, frame};
use crate::extension::Connected;
use crate::host::bounded;
use crate::protocol::{
    ClientError, OfflinePolicy, Push, ReplyTo, SessionId, SessionRequest, UserId,
};
use crate::ws::admission::{NotAdmitted, accounts, ends_at, verify};

/// How long the word that a connection is attached may take.
const GREETING_WAIT_MAX: Duration = Duration::from_secs(5);

/// A namespace that was joined.
pub(super) struct Joined {
    pub(super) socket: IoSocket,
}

/// What a CONNECT brings.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ConnectPayload {
    token: Option<String>,
    #[serde(deserialize_with = "session_name")]
    session_id: Option<SessionName>,
    offline: Option<OfflinePolicy>,
    confirm_sync: Option<bool>,
    pub(super) pid: Option<String>,
    pub(super) offset: Option<String>,
}

/// A session, or null for a new one.
enum SessionName {
    Named(SessionId),
    New,
}

/// Null is not the same as absent.
fn session_name<'de, D: Deserializer<'de>>(json: D) -> Result<Option<SessionName>, D::Error> {
    let name = Option::<SessionId>::deserialize(json)?;
    Ok(Some(name.map_or(SessionName::New, SessionName::Named)))
}

/// Why a client may not join, as it is told.
enum Refused {
    Unauthorized,
    Other(&'static str),
}

impl Session {
    /// Lets a client join a namespace, or says why not.
    pub(super) async fn connect(&mut self, namespace: String, payload: Option<String>) {
        let state = self.state.clone();
        let Some(handlers) = state.namespace(&namespace) else {
            self.handle.say(&spell_connect_error(&namespace, "Invalid namespace"));
            return;
        };
        let sid = match self.joined.get(&namespace) {
            Some(joined) => joined.socket.sid().to_owned(),
            None => random_sid().unwrap_or_default(),
        };
        let admitted = if handlers.is_open() {
            self.handle.say(&spell_connect(&namespace, &sid, None));
            Ok((None, None))
        } else {
            self.admit(&namespace, &sid, payload.as_deref()).await
        };
        let who = match admitted {
            Ok(who) => who,
            Err(Refused::Unauthorized) => {
                self.refuse(&namespace, &sid);
                return;
            }
            Err(Refused::Other(message)) => {
                self.leave(&namespace);
                self.handle.say(&spell_connect_error(&namespace, message));
                return;
            }
        };
        self.has_joined = true;
        let socket = IoSocket::new(self.handle.clone(), namespace.clone(), sid, who);
        self.joined.insert(namespace, Joined { socket: socket.clone() });
        let brought = IoArgs::object(payload.as_deref().unwrap_or("{}"));
        if let Some(handling) = handlers.connected(socket, brought) {
            self.spawn(handling).await;
        }
    }

    /// Takes note that a client left.
    pub(super) fn leave(&mut self, namespace: &str) {
        let Some(joined) = self.joined.remove(namespace) else { return };
        if namespace == ROOT {
            self.detach();
            self.tell_disconnected();
        }
        let handling =
            self.state.namespace(namespace).and_then(|name| name.disconnected(joined.socket));
        if let Some(handling) = handling {
            let wait_max = self.handler_wait_max();
            // Its client is going: there is nothing to hold back for it.
            actix::spawn(async move { bounded("a Socket.IO handler", wait_max, handling).await });
        }
    }

    /// Tells a client that it is put out of a namespace.
    pub(super) fn put_out(&mut self, namespace: &str) {
        if self.joined.contains_key(namespace) {
            self.handle.say(&spell_disconnect(namespace));
            self.leave(namespace);
        }
    }

    /// Passes on that a full sync is done.
    pub(super) fn sync_complete(&self) {
        let Some(user) = self.connection.user() else { return };
        let port = self.worker.parts().deliveries.of(&user);
        let done = SyncComplete { user: user.clone(), connection: self.connection.id };
        if port.sync_complete.try_send(done).is_err() {
            log::debug!(connection_id:% = self.connection.id; "a full sync of {user:?} is said to be done, but not taken");
        }
    }

    async fn admit(
        &mut self,
        namespace: &str,
        sid: &str,
        payload: Option<&str>,
    ) -> Result<(Option<UserId>, Option<SessionId>), Refused> {
        let brought: ConnectPayload = match payload.map(serde_json::from_str) {
            Some(Ok(brought)) => brought,
            // It is for the host, or for nobody.
            Some(Err(_)) | None => ConnectPayload::default(),
        };
        if self.has_failed && self.is_slowed_down() {
            // It comes back by a handshake, as who guesses has to.
            self.handle.end(None);
            return Err(Refused::Unauthorized);
        }
        let token = brought.token.clone().filter(|token| !token.is_empty());
        let token = token.or_else(|| self.token.clone()).ok_or(Refused::Unauthorized)?;
        let identity = match verify(&self.worker, &token, self.connection.id).await {
            Ok(identity) => identity,
            Err(NotAdmitted::Refused(_)) => {
                self.has_failed = true;
                if let Some(address) = self.address {
                    self.worker.parts().failures.failed(address, clock::now());
                }
                return Err(Refused::Unauthorized);
            }
            Err(NotAdmitted::TooOften(_)) => {
                return Err(Refused::Other(ClientError::RateLimited.message()));
            }
            Err(NotAdmitted::Unavailable) => {
                return Err(Refused::Other(ClientError::Unavailable.message()));
            }
        };
        if let Some(address) = self.address {
            self.worker.parts().failures.succeeded(address);
        }
        if namespace != ROOT {
            self.handle.say(&spell_connect(namespace, sid, None));
            return Ok((Some(identity.user), None));
        }
        // A live connection stays its user's.
        if self.connection.user().is_some_and(|owner| owner != identity.user) {
            return Err(Refused::Unauthorized);
        }
        let session = match &brought.session_id {
            None => {
                self.attach_plain(sid, &identity, &brought).await?;
                None
            }
            Some(name) => self.attach_session(sid, &identity, name, &brought).await?,
        };
        self.worker.end_at(&self.connection, ends_at(&self.worker, &identity));
        if let Some([major, minor, patch]) = self.state.settings().version() {
            let version = format!("[{{\"major\":{major},\"minor\":{minor},\"patch\":{patch}}}]");
            self.handle.say(&spell_event(ROOT, SERVER_VERSION, &version, None, 0));
        }
        Ok((Some(identity.user), session))
    }

    fn is_slowed_down(&self) -> bool {
        let failures = &self.worker.parts().failures;
        self.address.is_some_and(|address| failures.pause(address, clock::now()).is_some())
    }

    async fn attach_plain(
        &mut self,
        sid: &str,
        identity: &Identity,
        brought: &ConnectPayload,
    ) -> Result<(), Refused> {
        let greeting = Push::AuthSuccess { user: identity.user.clone(), secret: String::new() };
        let dialect = match self.state.settings().recovery {
            true => DialectKind::SocketIo(Marking::Offset),
            false => DialectKind::SocketIo(Marking::Bare),
        };
        let limited =
            accounts(identity, dialect).of_session(identity.session.as_deref().or(Some(sid)));
        let kind = AttachKind::Plain { greeting, accounts: limited };
        if !self.state.settings().recovery {
            self.greet_as(dialect, sid, identity, kind).await?;
            return Ok(());
        }
        self.connection.keep();
        let attached = self.attach_as(dialect, identity, kind).await;
        if let Err(refused) = attached {
            self.connection.release(None);
            return Err(refused);
        }
        self.recover(sid, identity, brought).await;
        Ok(())
    }

    async fn attach_session(
        &mut self,
        sid: &str,
        identity: &Identity,
        name: &SessionName,
        brought: &ConnectPayload,
    ) -> Result<Option<SessionId>, Refused> {
        let dialect = DialectKind::SocketIo(Marking::Acked);
        let kind = AttachKind::Reliable {
            session: match name {
                SessionName::Named(name) => SessionRequest::Named(name.clone()),
                SessionName::New => SessionRequest::New,
            },
            fresh: SessionId::from_uuid(Uuid::new_v4()),
            offline: brought.offline,
            offline_default: dialect.offline_default(),
            confirm_sync: brought.confirm_sync.unwrap_or(false),
            accounts: accounts(identity, dialect),
        };
        self.greet_as(dialect, sid, identity, kind).await
    }

    /// Attaches the connection, and answers its CONNECT before it is told anything else.
    async fn greet_as(
        &mut self,
        dialect: DialectKind,
        sid: &str,
        identity: &Identity,
        kind: AttachKind,
    ) -> Result<Option<SessionId>, Refused> {
        let connect = frame::text(&spell_connect(ROOT, sid, None));
        let greeted = self.connection.set_prelude(connect);
        let session = self.attach_as(dialect, identity, kind).await?;
        // It never comes only where the hub is stopping.
        let _ = tokio::time::timeout(GREETING_WAIT_MAX, greeted).await;
        Ok(session)
    }

    async fn attach_as(
        &mut self,
        dialect: DialectKind,
        identity: &Identity,
        kind: AttachKind,
    ) -> Result<Option<SessionId>, Refused> {
        let unavailable = || Refused::Other(ClientError::Unavailable.message());
        self.connection.dialect.set(dialect);
        self.connection.expect_auth_ok(ReplyTo::default());
        let connection = self.connection.id;
        match self.worker.attach(identity.user.clone(), connection, dialect, kind).await {
            Attached::Attached { session } => {
                log::debug!(connection_id:% = connection; "authenticated as {:?}, session {session:?}", identity.user);
                *self.connection.user.borrow_mut() = Some(identity.user.clone());
                self.tell_connected(&identity.user, session.as_ref()).await;
                Ok(session)
            }
            Attached::TooManyConnections => {
                Err(Refused::Other(ClientError::TooManyConnections.message()))
            }
            Attached::Unavailable => Err(unavailable()),
        }
    }

    /// Refuses a client without a good token in the way of its path.
    fn refuse(&mut self, namespace: &str, sid: &str) {
        self.leave(namespace);
        match self.layer {
            Layer::SocketIo(Reject::Event) => {
                self.handle.say(&spell_connect(namespace, sid, None));
                let args = "[\"unauthorized\"]";
                self.handle.say(&spell_event(namespace, "error", args, None, 0));
                self.handle.say(&spell_disconnect(namespace));
            }
            Layer::SocketIo(Reject::ConnectError) | Layer::Echo => {
                self.handle.say(&spell_connect_error(namespace, "unauthorized"));
            }
        }
    }

    /// Tells the extensions who this connection is now.
    async fn tell_connected(&mut self, user: &UserId, session: Option<&SessionId>) {
        let extensions = self.worker.parts().extensions.clone();
        let connected = Connected {
            connection: self.connection.id,
            user: user.clone(),
            session: session.cloned(),
            dialect: self.connection.dialect.get(),
        };
        if extensions.is_empty() || self.connected.as_ref() == Some(&connected) {
            return;
        }
        bounded("an extension", self.handler_wait_max(), extensions.connected(&connected)).await;
        self.connected = Some(connected);
    }

    fn tell_disconnected(&mut self) {
        let Some(connected) = self.connected.take() else { return };
        let extensions = self.worker.parts().extensions.clone();
        let wait_max = self.handler_wait_max();
        actix::spawn(async move {
            bounded("an extension", wait_max, extensions.disconnected(&connected)).await
        });
    }

    fn detach(&self) {
        if let Some(user) = self.connection.user.take() {
            self.worker.detach(Detach { user, connection: self.connection.id });
        }
    }

    async fn spawn(&self, handling: impl Future<Output = ()> + 'static) {
        let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
        let wait_max = self.handler_wait_max();
        actix::spawn(async move {
            bounded("a Socket.IO handler", wait_max, handling).await;
            drop(permit);
        });
    }

    fn handler_wait_max(&self) -> Duration {
        Duration::from_millis(self.worker.config().limits.command_timeout_ms)
    }
}
