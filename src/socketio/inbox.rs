//! The way to a session's task: few messages at a time, in order. An idle one holds no memory for them,
//! where a channel of tokio's holds that of 32.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

/// An inbox of many senders and one receiver.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    /// None once it is closed.
    messages: Mutex<Option<VecDeque<T>>>,
    /// A permit for each message that may still be put in.
    space: Semaphore,
    arrived: Notify,
}

/// Nobody takes anything out any more.
#[derive(Debug)]
pub(super) struct Closed;

impl<T> Inbox<T> {
    /// One that holds up to so many messages.
    pub(super) fn new(messages_max: usize) -> Self {
        Self {
            messages: Mutex::new(Some(VecDeque::new())),
            space: Semaphore::new(messages_max),
            arrived: Notify::new(),
        }
    }

    /// Puts a message in, and waits while it is full.
    ///
    /// # Errors
    /// When it is closed.
    pub(super) async fn send(&self, message: T) -> Result<(), Closed> {
        self.space.acquire().await.map_err(|_| Closed)?.forget();
        self.messages().as_mut().ok_or(Closed)?.push_back(message);
        self.arrived.notify_one();
        Ok(())
    }

    /// The right to receive: when it is dropped, so is what is in the inbox, and the rest is refused.
    pub(super) fn receiver(&self) -> Receiver<'_, T> {
        Receiver(self)
    }

    fn messages(&self) -> MutexGuard<'_, Option<VecDeque<T>>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever takes messages out.
#[derive(Debug)]
pub(super) struct Receiver<'a, T>(&'a Inbox<T>);

impl<T> Receiver<'_, T> {
    /// Takes the next message out, and waits while there is none. Dropping the future loses nothing.
    pub(super) async fn receive(&mut self) -> T {
        loop {
            let next = self.0.messages().as_mut().and_then(VecDeque::pop_front);
            if let Some(message) = next {
                self.0.space.add_permits(1);
                return message;
            }
            self.0.arrived.notified().await;
        }
    }
}

impl<T> Drop for Receiver<'_, T> {
    fn drop(&mut self) {
        self.0.space.close();
        // Not under the lock: whoever is told by what is dropped may send again.
        let left = self.0.messages().take();
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::Poll;

    use super::*;

    async fn is_pending(future: impl Future) -> bool {
        let mut future = pin!(future);
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    #[actix::test]
    async fn messages_come_out_in_order_and_a_full_one_makes_its_senders_wait() {
        let inbox = Arc::new(Inbox::new(2));
        inbox.send(1).await.unwrap();
        inbox.send(2).await.unwrap();
        assert!(is_pending(inbox.send(0)).await);
        let later = Arc::clone(&inbox);
        let sending = actix::spawn(async move { later.send(3).await.is_ok() });
        let mut receiver = inbox.receiver();
        for n in 1..=3 {
            assert_eq!(receiver.receive().await, n);
        }
        assert!(sending.await.unwrap());
        assert!(is_pending(receiver.receive()).await);
    }

    #[actix::test]
    async fn a_receiver_that_waits_is_woken_and_one_that_gave_up_loses_nothing() {
        let inbox = Inbox::new(2);
        let mut receiver = inbox.receiver();
        assert!(is_pending(receiver.receive()).await);
        let (received, sent) = tokio::join!(receiver.receive(), inbox.send(1));
        assert!(sent.is_ok());
        assert_eq!(received, 1);
    }

    #[actix::test]
    async fn a_closed_one_drops_what_is_in_it_and_takes_no_more() {
        let inbox = Arc::new(Inbox::new(1));
        let message = Arc::new(());
        inbox.send(Arc::clone(&message)).await.unwrap();
        let later = (Arc::clone(&inbox), Arc::clone(&message));
        let sending = actix::spawn(async move { later.0.send(later.1).await.is_err() });
        assert!(is_pending(inbox.send(Arc::clone(&message))).await);
        drop(inbox.receiver());
        assert!(sending.await.unwrap());
        assert!(inbox.send(Arc::clone(&message)).await.is_err());
        assert_eq!(Arc::strong_count(&message), 1);
    }
}
