//! What joins nodes: best effort, in order from one sender to one subject. What must not be lost
//! does not rest on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::{mpsc, watch};

use crate::protocol::NodeNumber;

/// Packets that may wait for one subscriber of a [`LocalBus`].
const WAITING_MAX: usize = 65_536;

/// Who hears of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One node.
    Node(NodeNumber),
    /// Every node, the sender too.
    All,
}

/// Why something was not said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The bus cannot be reached now.
    #[error("the bus is away")]
    Away,
    /// It cannot be set up.
    #[error("the bus (cluster.nats_url) cannot be set up: {0}")]
    Setup(String),
}

/// What arrives.
pub type Packets = BoxStream<'static, Bytes>;

/// The way between nodes.
pub trait Bus: Send + Sync + 'static {
    /// Says something; what is said while the bus is away is lost.
    fn publish(&self, to: Subject, packet: Bytes) -> BoxFuture<'_, Result<(), BusError>>;

    /// Hears what is said from now on, also across the bus's own absences.
    fn subscribe(&self, subject: Subject) -> BoxFuture<'_, Result<Packets, BusError>>;

    /// Whether it can be reached, now and whenever that changes.
    fn state(&self) -> watch::Receiver<bool>;
}

/// Joins the nodes of one process: every clone is another end.
#[derive(Clone, Debug)]
pub struct LocalBus {
    subscribers: Arc<Mutex<Subscribers>>,
    is_up: Arc<watch::Sender<bool>>,
    is_deaf: Arc<AtomicBool>,
}

type Subscribers = HashMap<Subject, Vec<mpsc::Sender<Bytes>>>;

impl Default for LocalBus {
    fn default() -> Self {
        Self {
            subscribers: Arc::default(),
            is_up: Arc::new(watch::Sender::new(true)),
            is_deaf: Arc::default(),
        }
    }
}

impl LocalBus {
    /// Another end, which can be away by itself.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { subscribers: Arc::clone(&self.subscribers), ..Self::default() }
    }

    /// Lets this end be away, or back.
    pub fn set_up(&self, is_up: bool) {
        self.is_up.send_replace(is_up);
    }

    /// Lets what this end says be lost without a word, or not any more.
    pub fn lose(&self, loses: bool) {
        self.is_deaf.store(loses, Ordering::Release);
    }
}

impl Bus for LocalBus {
    fn publish(&self, to: Subject, packet: Bytes) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            if !*self.is_up.borrow() {
                return Err(BusError::Away);
            }
            if self.is_deaf.load(Ordering::Acquire) {
                return Ok(());
            }
            let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(subscribers) = subscribers.get_mut(&to) {
                // One that does not keep up misses it, as on any bus.
                subscribers.retain(|subscriber| {
                    !matches!(
                        subscriber.try_send(packet.clone()),
                        Err(mpsc::error::TrySendError::Closed(_))
                    )
                });
            }
            Ok(())
        })
    }

    fn subscribe(&self, subject: Subject) -> BoxFuture<'_, Result<Packets, BusError>> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.entry(subject).or_default().push(sender);
        let packets = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let packet = receiver.recv().await?;
            Some((packet, receiver))
        });
        let packets: Packets = Box::pin(packets);
        Box::pin(async move { Ok(packets) })
    }

    fn state(&self) -> watch::Receiver<bool> {
        self.is_up.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn what_is_said_is_heard_in_order_by_whoever_listens() {
        let bus = LocalBus::default();
        let (one, all) = (Subject::Node(NodeNumber(1)), Subject::All);
        let mut heard = bus.another().subscribe(one).await.unwrap();
        let mut heard_by_all = bus.subscribe(all).await.unwrap();
        for word in [&b"a"[..], b"b"] {
            bus.publish(one, Bytes::from_static(word)).await.unwrap();
        }
        bus.publish(all, Bytes::from_static(b"c")).await.unwrap();
        assert_eq!(heard.next().await.unwrap(), "a");
        assert_eq!(heard.next().await.unwrap(), "b");
        assert_eq!(heard_by_all.next().await.unwrap(), "c");
    }

    #[tokio::test]
    async fn an_end_that_is_away_says_so_and_the_others_go_on() {
        let (bus, other) = (LocalBus::default(), LocalBus::default());
        bus.set_up(false);
        let away = bus.publish(Subject::All, Bytes::new()).await;
        assert_eq!(away, Err(BusError::Away));
        assert!(!*bus.state().borrow());
        assert!(other.publish(Subject::All, Bytes::new()).await.is_ok());
    }
}
