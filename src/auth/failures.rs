//! Addresses whose tokens keep failing: each is slowed down, none is shut out.
//!
//! A client that reconnects for ever with a token that is no longer good costs a handshake a
//! second. Time is passed in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An address without failures for this long starts over.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// The first pause; each further failure doubles it.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Addresses remembered at most; beyond, new ones are not slowed down.
const ADDRESSES_MAX: usize = 65_536;

/// Where a client comes from: an IPv4 address, or the network of an IPv6 address (64 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(u64);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            // ff.. is multicast: no client comes from there.
            IpAddr::V4(address) => Self(0xff00_0000_0000_0000 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }
}

/// The failed auths of each address.
#[derive(Debug)]
pub struct Failures {
    free: u32,
    pause_max: Duration,
    known: Mutex<HashMap<Address, Failing>>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    count: u32,
    last_at: Instant,
}

impl Failures {
    /// Lets an address fail `free` times before it is slowed down to one handshake a second, and
    /// after each further failure half as often, up to one in `pause_max`.
    pub fn new(free: u32, pause_max: Duration) -> Self {
        Self { free, pause_max, known: Mutex::default() }
    }

    /// Takes note of a failed auth.
    pub fn failed(&self, address: Address, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ADDRESSES_MAX && !known.contains_key(&address) {
            known.retain(|_, failing| !failing.is_over(now));
            if known.len() >= ADDRESSES_MAX {
                return;
            }
        }
        let failing = known.entry(address).or_insert(Failing { count: 0, last_at: now });
        if failing.is_over(now) {
            failing.count = 0;
        }
        failing.count = failing.count.saturating_add(1);
        failing.last_at = now;
    }

    /// Takes note of a good auth: the address starts over.
    pub fn succeeded(&self, address: Address) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }

    /// How long an address must wait for its next handshake; none when it need not.
    pub fn pause(&self, address: Address, now: Instant) -> Option<Duration> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = known.get(&address).filter(|failing| !failing.is_over(now))?;
        let beyond = failing.count.checked_sub(self.free)?.checked_sub(1)?;
        let pause = PAUSE_MIN.saturating_mul(1 << beyond.min(16)).min(self.pause_max);
        let until = failing.last_at + pause;
        (now < until).then(|| until - now)
    }
}

impl Failing {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_at) >= FORGET_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_a_success() {
        let failures = Failures::new(2, Duration::from_secs(5));
        let (alice, bob) = (address("192.0.2.1"), address("192.0.2.2"));
        let mut now = crate::clock::now();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            failures.failed(alice, now);
            let pause = failures.pause(alice, now);
            pauses.push(pause.unwrap_or_default().as_secs());
            now += pause.unwrap_or_default();
            assert_eq!(failures.pause(alice, now), None, "the pause is over");
        }
        assert_eq!(pauses, [0, 0, 1, 2, 4, 5]);
        failures.failed(alice, now);
        assert_eq!(failures.pause(bob, now), None);
        failures.succeeded(alice);
        assert_eq!(failures.pause(alice, now), None);
    }

    #[test]
    fn an_address_that_was_quiet_starts_over() {
        let failures = Failures::new(0, Duration::from_secs(60));
        let now = crate::clock::now();
        failures.failed(address("192.0.2.1"), now);
        failures.failed(address("192.0.2.1"), now + FORGET_AFTER);
        let pause = failures.pause(address("192.0.2.1"), now + FORGET_AFTER);
        assert_eq!(pause, Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::2"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("::c000:201"));
    }
}
