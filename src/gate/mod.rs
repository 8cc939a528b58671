//! Who may come in, and how often: origins of pages, and limits per address, user and caller.
//!
//! Its rules may be exchanged while the hub runs. Time is passed in.

mod origins;
mod rates;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use self::origins::Origins;
pub use self::origins::Page;
use self::rates::{Rate, Rates};
use crate::auth::Address;
use crate::config::Config;

/// Addresses whose connections are counted at most; beyond, those of new ones are not.
const ADDRESSES_MAX: usize = 65_536;

/// How long someone waits who has as many connections as they may.
const SEAT_WAIT: Duration = Duration::from_secs(5);

/// The gate of one hub.
#[derive(Debug)]
pub struct Gate {
    rules: RwLock<Rules>,
    handshakes: Rates,
    auths: Rates,
    publishes: Rates,
    seats: Arc<Seats>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rules {
    origins: Origins,
    connections_max: usize,
    handshakes: Option<Rate>,
    auths: Option<Rate>,
    publishes: Option<Rate>,
}

/// How many connections each address has.
#[derive(Debug, Default)]
struct Seats(Mutex<HashMap<Address, usize>>);

/// One connection of an address, until this is dropped.
#[derive(Debug, Default)]
pub struct Seat(Option<(Address, Arc<Seats>)>);

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((address, seats)) = &self.0 else { return };
        let mut seats = seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = seats.get_mut(address) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(address);
            }
        }
    }
}

impl Gate {
    /// A gate with the rules of this configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            rules: RwLock::new(Rules::of(config)),
            handshakes: Rates::default(),
            auths: Rates::default(),
            publishes: Rates::default(),
            seats: Arc::default(),
        }
    }

    /// Goes by the rules of this configuration from now on. Who is in stays in.
    pub fn reload(&self, config: &Config) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Rules::of(config);
    }

    /// What a page of `origin` is to a hub that was asked by the name `host`.
    pub fn page(&self, origin: Option<&str>, host: Option<&str>) -> Page {
        self.with(|rules| rules.origins.page(origin, host))
    }

    /// Lets a handshake of an address in, and says how long it must wait otherwise.
    ///
    /// # Errors
    /// When the address makes too many, or has too many connections: how long it must wait.
    pub fn enter(&self, address: Option<IpAddr>, now: Instant) -> Result<Seat, Duration> {
        // A loopback address is a process of this machine, or a proxy that tells nobody apart.
        let Some(address) = address.filter(|address| !address.is_loopback()) else {
            return Ok(Seat::default());
        };
        let address = Address::from(address);
        let (rate, connections_max) = self.with(|rules| (rules.handshakes, rules.connections_max));
        self.handshakes.take(&address, rate, now)?;
        self.sit(address, connections_max).ok_or(SEAT_WAIT)
    }

    /// Whether a user may authenticate once more.
    ///
    /// # Errors
    /// When they do too often: how long they must wait.
    pub fn auth(&self, user: &impl Hash, now: Instant) -> Result<(), Duration> {
        self.auths.take(user, self.with(|rules| rules.auths), now)
    }

    /// Whether a caller may publish once more.
    ///
    /// # Errors
    /// When they publish too much: how long they must wait.
    pub fn publish(&self, caller: &impl Hash, now: Instant) -> Result<(), Duration> {
        self.publishes.take(caller, self.with(|rules| rules.publishes), now)
    }

    /// Takes note of so many events more of a caller that was let in: the next ones wait for it.
    pub fn publish_more(&self, caller: &impl Hash, events: u32) {
        self.publishes.owe(caller, events, self.with(|rules| rules.publishes));
    }

    fn sit(&self, address: Address, connections_max: usize) -> Option<Seat> {
        let mut seats = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.len() >= ADDRESSES_MAX && !seats.contains_key(&address) {
            return Some(Seat::default());
        }
        let taken = seats.get(&address).copied().unwrap_or(0);
        if connections_max > 0 && taken >= connections_max {
            return None;
        }
        seats.insert(address, taken + 1);
        Some(Seat(Some((address, Arc::clone(&self.seats)))))
    }

    fn with<T>(&self, read: impl FnOnce(&Rules) -> T) -> T {
        read(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rules {
    fn of(config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            origins: Origins::new(&config.server.allowed_origins),
            connections_max: limits.connections_per_address_max,
            handshakes: Rate::new(limits.handshakes_per_minute_max, Duration::from_secs(60)),
            auths: Rate::new(limits.auths_per_minute_max, Duration::from_secs(60)),
            publishes: Rate::new(limits.publishes_per_second_max, Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(change: impl FnOnce(&mut Config)) -> Gate {
        let mut config = Config::default();
        change(&mut config);
        Gate::new(&config)
    }

    #[test]
    fn an_address_has_so_many_connections_and_this_machine_any_number() {
        let gate = gate(|config| config.limits.connections_per_address_max = 2);
        let now = crate::clock::now();
        let enter = |text: &str| gate.enter(Some(text.parse().unwrap()), now);
        let (first, _second) = (enter("192.0.2.1"), enter("192.0.2.1"));
        assert_eq!(enter("192.0.2.1").unwrap_err(), SEAT_WAIT);
        let _other = enter("192.0.2.2").unwrap();
        let local: Vec<_> = (0..10).map(|_| enter("127.0.0.1").unwrap()).collect();
        assert_eq!(local.len(), 10);
        drop(first);
        let again = enter("192.0.2.1");
        assert!(again.is_ok());
    }

    #[test]
    fn new_rules_hold_at_once() {
        let gate = gate(|_| {});
        let page = || gate.page(Some("https://app.example"), Some("hub.example"));
        assert_eq!(page(), Page::Foreign);
        let mut config = Config::default();
        config.server.allowed_origins = vec!["https://app.example".to_owned()];
        config.limits.publishes_per_second_max = 1;
        gate.reload(&config);
        assert_eq!(page(), Page::Listed);
        let now = crate::clock::now();
        assert_eq!(gate.publish(&"app", now), Ok(()));
        assert_eq!(gate.publish(&"app", now), Err(Duration::from_secs(1)));
        assert_eq!(gate.publish(&"other", now), Ok(()));
    }
}
