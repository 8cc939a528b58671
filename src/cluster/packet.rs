//! Packets: several messages, or a piece of a large one, from one node, each with its place in what
//! that node says to this one.
//!
//! Pure. A place that is missing is noticed: what was in it is lost, and what rests on it must be
//! put right by whoever asks again.

use std::collections::HashSet;

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{Input, Wire};
use crate::protocol::{ConnectionId, NodeNumber};

/// The version of everything that travels between nodes. Another one is refused.
pub(super) const VERSION: u8 = 1;

/// What one packet holds at most; a NATS server takes 1 MiB unless it is told otherwise.
pub(super) const BODY_MAX: usize = 512 * 1024;

/// What one body, of all its pieces, may hold.
const WHOLE_MAX: usize = 64 * 1024 * 1024;

const BEGINS: u8 = 1;
const ENDS: u8 = 2;
const ANNOUNCES: u8 = 4;

/// A packet as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) from: NodeNumber,
    flags: u8,
    place: u64,
    body: Bytes,
}

/// Why a packet was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PacketError {
    /// It is of another version.
    #[error("version {0} is not known here")]
    Version(u8),
    /// It is no packet.
    #[error("it is cut short")]
    Short,
}

impl Packet {
    /// Reads a packet.
    pub(super) fn read(mut bytes: Bytes) -> Result<Self, PacketError> {
        let mut input = Input::new(&bytes);
        match u8::get(&mut input) {
            Some(VERSION) => {}
            Some(version) => return Err(PacketError::Version(version)),
            None => return Err(PacketError::Short),
        }
        let header = (|| {
            let flags = u8::get(&mut input)?;
            Some((flags, NodeNumber::get(&mut input)?, u64::get(&mut input)?))
        })();
        let (flags, from, place) = header.ok_or(PacketError::Short)?;
        let body = bytes.split_off(HEADER);
        Ok(Self { from, flags, place, body })
    }

    /// How many bytes it was.
    pub(super) fn bytes(&self) -> usize {
        HEADER + self.body.len()
    }

    /// What it announces to everybody, if it does.
    pub(super) fn announced(&self) -> Option<&Bytes> {
        (self.flags & ANNOUNCES != 0).then_some(&self.body)
    }
}

/// Version, flags, sender and place.
const HEADER: usize = 1 + 1 + 4 + 8;

fn write(from: NodeNumber, flags: u8, place: u64, body: &[u8]) -> Bytes {
    let mut packet = BytesMut::with_capacity(HEADER + body.len());
    packet.put_u8(VERSION);
    packet.put_u8(flags);
    packet.put_u32_le(from.0);
    packet.put_u64_le(place);
    packet.put_slice(body);
    packet.freeze()
}

/// A packet for everybody; it has no place.
pub(super) fn announcement(from: NodeNumber, body: &[u8]) -> Bytes {
    write(from, ANNOUNCES | BEGINS | ENDS, 0, body)
}

/// What one node says to another.
#[derive(Debug)]
pub(super) struct Outgoing {
    from: NodeNumber,
    place: u64,
}

impl Outgoing {
    pub(super) fn new(from: NodeNumber) -> Self {
        Self { from, place: 0 }
    }

    /// Cuts a body into packets.
    pub(super) fn packets(&mut self, body: &[u8]) -> Vec<Bytes> {
        let count = body.len().div_ceil(BODY_MAX);
        let pieces = body.chunks(BODY_MAX).enumerate();
        pieces
            .map(|(number, piece)| {
                let begins = if number == 0 { BEGINS } else { 0 };
                let ends = if number + 1 == count { ENDS } else { 0 };
                self.place += 1;
                write(self.from, begins | ends, self.place, piece)
            })
            .collect()
    }
}

/// What one node hears from another.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    last: Option<u64>,
    partial: Vec<u8>,
    /// After a loss: the connections that were attached again since. None when nothing is missing.
    again: Option<HashSet<ConnectionId>>,
    losses: u64,
}

/// What a packet brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Whether something before it is lost.
    pub(super) has_lost: bool,
    /// A whole body, if there is one now.
    pub(super) body: Option<Bytes>,
}

impl Incoming {
    /// Takes a packet.
    pub(super) fn arrive(&mut self, packet: Packet) -> Arrival {
        let has_lost = self.last.is_some_and(|last| packet.place != last + 1);
        self.last = Some(packet.place);
        if has_lost {
            self.partial.clear();
            self.again = Some(HashSet::new());
            self.losses += 1;
        }
        let (begins, ends) = (packet.flags & BEGINS != 0, packet.flags & ENDS != 0);
        if begins && ends {
            self.partial.clear();
            return Arrival { has_lost, body: Some(packet.body) };
        }
        let is_of_one = begins || !self.partial.is_empty();
        if begins {
            self.partial.clear();
        }
        if is_of_one && self.partial.len() + packet.body.len() <= WHOLE_MAX {
            self.partial.extend_from_slice(&packet.body);
        } else {
            // Its beginning is lost, or it is larger than anything that is sent.
            self.partial.clear();
        }
        let body = (ends && !self.partial.is_empty())
            .then(|| Bytes::from(std::mem::take(&mut self.partial)));
        Arrival { has_lost, body }
    }

    /// Whether what comes for a connection is in order.
    pub(super) fn is_in_order(&self, connection: ConnectionId) -> bool {
        self.again.as_ref().is_none_or(|again| again.contains(&connection))
    }

    /// Takes note that a connection is attached (again): what follows for it is in order.
    pub(super) fn attached(&mut self, connection: ConnectionId) {
        if let Some(again) = &mut self.again {
            again.insert(connection);
        }
    }

    /// How often something was lost.
    pub(super) fn losses(&self) -> u64 {
        self.losses
    }

    /// Takes note that every connection was attached again after so many losses.
    pub(super) fn all_attached(&mut self, losses: u64) {
        if self.losses == losses {
            self.again = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: NodeNumber = NodeNumber(7);

    fn arrive(incoming: &mut Incoming, packet: &Bytes) -> Arrival {
        incoming.arrive(Packet::read(packet.clone()).unwrap())
    }

    #[test]
    fn a_large_body_comes_in_pieces_and_is_whole_again() {
        let body: Vec<u8> = (0..BODY_MAX * 2 + 5).map(|n| n as u8).collect();
        let packets = Outgoing::new(HERE).packets(&body);
        assert_eq!(packets.len(), 3);
        let mut incoming = Incoming::default();
        let arrivals: Vec<_> = packets.iter().map(|p| arrive(&mut incoming, p)).collect();
        assert_eq!(arrivals[1], Arrival { has_lost: false, body: None });
        assert_eq!(arrivals[2].body.as_ref().unwrap(), &body);
    }

    #[test]
    fn what_is_lost_is_noticed_and_spoils_what_rests_on_it() {
        let mut outgoing = Outgoing::new(HERE);
        let large = outgoing.packets(&vec![1; BODY_MAX + 1]);
        let small = outgoing.packets(b"small");
        let mut incoming = Incoming::default();
        let connection = ConnectionId { worker: 1, place: 2, generation: 3 };
        assert!(incoming.is_in_order(connection));
        arrive(&mut incoming, &large[0]);
        let after = arrive(&mut incoming, &small[0]);
        assert!(after.has_lost && after.body.is_some());
        assert!(!incoming.is_in_order(connection));
        incoming.attached(connection);
        assert!(incoming.is_in_order(connection));
        let other = ConnectionId { place: 9, ..connection };
        assert!(!incoming.is_in_order(other));
        incoming.all_attached(0);
        assert!(!incoming.is_in_order(other), "that was before the loss");
        incoming.all_attached(incoming.losses());
        assert!(incoming.is_in_order(other));
        let mut late = Incoming::default();
        assert_eq!(arrive(&mut late, &large[1]), Arrival { has_lost: false, body: None });
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let mut packet = Outgoing::new(HERE).packets(b"x")[0].to_vec();
        packet[0] = 2;
        assert_eq!(Packet::read(packet.into()), Err(PacketError::Version(2)));
        assert_eq!(Packet::read(Bytes::from_static(&[VERSION, 0])), Err(PacketError::Short));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read_but_never_panics(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8),
        ) {
            let mut incoming = Incoming::default();
            for mut packet in packets {
                if let Some(version) = packet.first_mut() {
                    *version = VERSION;
                }
                if let Ok(packet) = Packet::read(packet.into()) {
                    incoming.arrive(packet);
                }
            }
        }
    }
}
