//! In a cluster: who is attached where, so that connections can be attached again when their slot
//! has another home, or when something on the way from it was lost.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::worker::Worker;
use crate::delivery::messages::{Attach, AttachKind, Attached};
use crate::dialect::DialectKind;
use crate::protocol::{Accounts, CloseCode, ConnectionId, SessionId, Slot, UserId};

/// Connections that are attached again at a time, by one worker.
const AT_ONCE: usize = 256;

/// The pause before a home that does not answer is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// How long a new connection waits for its slot to have a home.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(3);

/// How long an old connection waits; then its client is told to come back.
const AGAIN_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long one attempt may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// What a connection was attached as.
#[derive(Clone, Debug)]
struct Tenancy {
    user: UserId,
    dialect: DialectKind,
    session: Option<SessionId>,
    accounts: Accounts,
}

/// The attached connections of one worker, by slot.
#[derive(Debug, Default)]
pub(super) struct Tenancies(BTreeMap<(Slot, ConnectionId), Tenancy>);

impl Tenancies {
    /// Forgets a connection.
    pub(super) fn remove(&mut self, user: &UserId, connection: ConnectionId) {
        self.0.remove(&(user.slot(), connection));
    }

    fn of(&self, slots: &[Slot]) -> Vec<(ConnectionId, Tenancy)> {
        let (least, most) = (ConnectionId::FIRST, ConnectionId::LAST);
        slots
            .iter()
            .flat_map(|slot| self.0.range((*slot, least)..=(*slot, most)))
            .map(|((_, connection), tenancy)| (*connection, tenancy.clone()))
            .collect()
    }
}

impl Worker {
    /// Attaches a connection, wherever its home is. In a cluster it waits a little for one, and is
    /// remembered.
    pub async fn attach(
        &self,
        user: UserId,
        connection: ConnectionId,
        dialect: DialectKind,
        kind: AttachKind,
    ) -> Attached {
        if !self.parts().deliveries.is_cluster() {
            return self.attach_once(&user, connection, dialect, kind).await;
        }
        let accounts = match &kind {
            AttachKind::Plain { accounts, .. }
            | AttachKind::Reliable { accounts, .. }
            | AttachKind::Again { accounts, .. } => accounts.clone(),
        };
        let deadline = Instant::now() + FIRST_WAIT_MAX;
        loop {
            let home = self.parts().deliveries.home_of(&user);
            let attached = self.attach_once(&user, connection, dialect, kind.clone()).await;
            if attached == Attached::Unavailable && Instant::now() < deadline {
                tokio::time::sleep(TRY_AGAIN).await;
                continue;
            }
            if let Attached::Attached { session } = &attached
                && self.connection(connection).is_some()
            {
                let tenancy =
                    Tenancy { user: user.clone(), dialect, session: session.clone(), accounts };
                self.tenancies().0.insert((user.slot(), connection), tenancy.clone());
                if self.parts().deliveries.home_of(&user) != home {
                    actix::spawn(attach_again(self.clone(), connection, tenancy));
                }
            }
            return attached;
        }
    }

    async fn attach_once(
        &self,
        user: &UserId,
        connection: ConnectionId,
        dialect: DialectKind,
        kind: AttachKind,
    ) -> Attached {
        let Some(registry) = self.orders() else { return Attached::Unavailable };
        let (reply, attached) = oneshot::channel();
        let attach = Attach { user: user.clone(), connection, registry, dialect, kind, reply };
        let port = self.parts().deliveries.of(user);
        if port.attach.send(attach).await.is_err() {
            return Attached::Unavailable;
        }
        match tokio::time::timeout(ATTEMPT_MAX, attached).await {
            Ok(Ok(attached)) => attached,
            Ok(Err(_)) | Err(_) => Attached::Unavailable,
        }
    }

    /// Attaches every connection in these slots again, and answers when that is done.
    pub(super) async fn attach_all_again(self, slots: Vec<Slot>, reply: oneshot::Sender<()>) {
        let all = self.tenancies().of(&slots);
        stream::iter(all)
            .for_each_concurrent(AT_ONCE, |(connection, tenancy)| {
                attach_again(self.clone(), connection, tenancy)
            })
            .await;
        // Whoever asked may have stopped waiting.
        let _ = reply.send(());
    }
}

async fn attach_again(worker: Worker, connection: ConnectionId, tenancy: Tenancy) {
    let Tenancy { user, dialect, session, accounts } = tenancy;
    let deadline = Instant::now() + AGAIN_WAIT_MAX;
    loop {
        let Some(found) = worker.connection(connection) else { return };
        let kind = AttachKind::Again { session: session.clone(), accounts: accounts.clone() };
        match worker.attach_once(&user, connection, dialect, kind).await {
            Attached::Attached { .. } => return,
            Attached::TooManyConnections => {
                worker.close(&found, CloseCode::LimitExceeded);
                return;
            }
            Attached::Unavailable if Instant::now() < deadline => {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            Attached::Unavailable => {
                worker.close(&found, CloseCode::Restart);
                return;
            }
        }
    }
}
