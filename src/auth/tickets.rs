//! Tickets for the console: whoever may administer gets one, and with it a live connection as a
//! user of its own, whatever key or token they came with.
//!
//! Kept in memory only, bounded, and good for an hour. No token speaks for that user.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;

use super::{AuthError, Identity, TokenVerifier};
use crate::protocol::{Timestamp, UserId};

/// The user that every console is a session of.
pub const CONSOLE_USER: &str = "staffetta:console";

const PREFIX: &str = "console-ticket.";
const TTL_MS: i64 = 3_600_000;

/// Tickets that are good at once; beyond, the oldest is not any more.
const TICKETS_MAX: usize = 64;

/// The tickets that are good.
#[derive(Default)]
pub struct Tickets {
    open: Mutex<VecDeque<(String, Timestamp)>>,
    redeemed: Notify,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl Tickets {
    /// Makes a ticket; none when the system has no random bytes.
    pub fn issue(&self, now: Timestamp) -> Option<(String, Timestamp)> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).ok()?;
        let ticket = format!("{PREFIX}{}", hex::encode(random));
        let expires_at = Timestamp(now.0 + TTL_MS);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, end)| *end > now);
        if open.len() >= TICKETS_MAX {
            open.pop_front();
        }
        open.push_back((ticket.clone(), expires_at));
        Some((ticket, expires_at))
    }

    /// Waits until a ticket is used; one that was used since the last time counts.
    pub async fn redeemed(&self) {
        self.redeemed.notified().await;
    }

    fn redeem(&self, ticket: &str, now: Timestamp) -> Result<Identity, AuthError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Every ticket is looked at: how long it takes tells nothing.
        let mut found = None;
        for (known, expires_at) in open.iter() {
            if bool::from(known.as_bytes().ct_eq(ticket.as_bytes())) {
                found = Some(*expires_at);
            }
        }
        let expires_at = found.ok_or(AuthError::Invalid)?;
        if expires_at <= now {
            return Err(AuthError::Expired);
        }
        let user = UserId::new(CONSOLE_USER).map_err(|_| AuthError::Invalid)?;
        self.redeemed.notify_one();
        Ok(Identity {
            user,
            scopes: Vec::new(),
            accounts: None,
            session: None,
            expires_at: Some(expires_at),
        })
    }
}

/// Takes tickets, and leaves everything else to another verifier.
pub struct TicketVerifier {
    /// The tickets.
    pub tickets: Arc<Tickets>,
    /// Who checks tokens.
    pub tokens: Arc<dyn TokenVerifier>,
}

impl TokenVerifier for TicketVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        Box::pin(async move {
            if token.starts_with(PREFIX) {
                return self.tickets.redeem(token, now);
            }
            let identity = self.tokens.verify(token, now).await?;
            if identity.user.as_str() == CONSOLE_USER {
                return Err(AuthError::Invalid);
            }
            Ok(identity)
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::ready;

    use super::*;

    /// Every token is the name of a user.
    struct Names;

    impl TokenVerifier for Names {
        fn verify<'a>(
            &'a self,
            token: &'a str,
            _now: Timestamp,
        ) -> BoxFuture<'a, Result<Identity, AuthError>> {
            let user = UserId::new(token).unwrap();
            let (scopes, accounts, session, expires_at) = (Vec::new(), None, None, None);
            ready(Ok(Identity { user, scopes, accounts, session, expires_at })).boxed()
        }
    }

    #[tokio::test]
    async fn a_ticket_is_the_console_for_an_hour_and_nothing_else_is() {
        let tickets = Arc::new(Tickets::default());
        let verifier = TicketVerifier { tickets: Arc::clone(&tickets), tokens: Arc::new(Names) };
        let check = async |token: &str, at: i64| verifier.verify(token, Timestamp(at)).await;
        let (ticket, _) = tickets.issue(Timestamp(0)).unwrap();
        let identity = check(&ticket, 1_000).await.unwrap();
        assert_eq!(identity.user.as_str(), CONSOLE_USER);
        assert!(identity.scopes.is_empty(), "it administers nothing");
        tickets.redeemed().await;
        assert_eq!(check(&ticket, TTL_MS).await, Err(AuthError::Expired));
        let guessed = format!("{PREFIX}{}", "0".repeat(64));
        assert_eq!(check(&guessed, 0).await, Err(AuthError::Invalid));
        assert_eq!(check(CONSOLE_USER, 0).await, Err(AuthError::Invalid));
        assert_eq!(check("alice", 0).await.unwrap().user.as_str(), "alice");
    }

    #[test]
    fn the_oldest_of_too_many_tickets_is_not_good_any_more() {
        let tickets = Tickets::default();
        let (first, _) = tickets.issue(Timestamp(0)).unwrap();
        for _ in 0..TICKETS_MAX {
            tickets.issue(Timestamp(0)).unwrap();
        }
        assert_eq!(tickets.redeem(&first, Timestamp(0)), Err(AuthError::Invalid));
    }
}
