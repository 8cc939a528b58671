//! Asking delivery actors: one for an answer, or all for theirs together.

use actix::{Message, Recipient};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::messages::{
    Census, DeliveryPort, DeliveryPorts, DeliveryTrace, LiveUsers, TakeCensus, TraceEvent,
};
use crate::protocol::{EventId, UserId};

/// Sends the message made of a reply channel, and waits for what comes back; none when nothing does.
pub(crate) async fn asked<M, T>(
    actor: &Recipient<M>,
    message: impl FnOnce(oneshot::Sender<T>) -> M,
) -> Option<T>
where
    M: Message<Result = ()> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    actor.send(message(reply)).await.ok()?;
    answer.await.ok()
}

impl DeliveryPorts {
    /// What is in memory, of every actor that answers.
    pub async fn census(&self) -> Census {
        let parts = self.ask_all(|port| asked(&port.watch.census, TakeCensus)).await;
        let mut all = Census::default();
        parts.into_iter().flatten().for_each(|part| all += part);
        all
    }

    /// Users with live connections and no session, of every actor that answers.
    pub async fn live_users(&self) -> Vec<UserId> {
        let parts = self.ask_all(|port| asked(&port.live_users, LiveUsers)).await;
        parts.into_iter().flatten().flatten().collect()
    }

    /// What became of an event; none unless every actor answers.
    pub async fn trace(&self, event: EventId) -> Option<Vec<DeliveryTrace>> {
        let ask = |port| DeliveryPort::ask_trace(port, event);
        let parts: Option<Vec<_>> = self.ask_all(ask).await.into_iter().collect();
        Some(parts?.into_iter().flatten().collect())
    }

    async fn ask_all<'a, T, F>(&'a self, ask: impl Fn(&'a DeliveryPort) -> F) -> Vec<T>
    where
        F: Future<Output = T>,
    {
        join_all(self.all().iter().map(ask)).await
    }
}

impl DeliveryPort {
    async fn ask_trace(&self, event: EventId) -> Option<Vec<DeliveryTrace>> {
        asked(&self.trace, |reply| TraceEvent { event, reply }).await
    }
}
