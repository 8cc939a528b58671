//! MQTT 3.1.1: every publish and every delivery QoS 1, sessions that outlive their connections.

use super::link::Link;
use super::piece::{Framing, Piece};
use super::wire::Heard;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH_QOS_1: u8 = 0x32;
pub(crate) const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
pub(crate) const PINGREQ: u8 = 0xc0;
const PINGRESP: u8 = 0xd0;

pub(crate) async fn connect(port: u16, name: &str) -> Link {
    let mut link = Link::connect(port, Framing::Mqtt).await;
    let mut body = text("MQTT");
    // Version 3.1.1, no flags (so no clean session), no keep-alive.
    body.extend([4, 0, 0, 0]);
    body.extend(text(name));
    link.send(&packet(CONNECT, &body)).await;
    link.next(|piece| assert_eq!((piece.kind, piece.body[1]), (CONNACK, 0), "not connected")).await;
    link
}

/// Connects again to a session that has its subscription.
pub(crate) async fn subscribe(link: &mut Link, topic: &str) {
    let mut body = vec![0, 1];
    body.extend(text(topic));
    body.push(1);
    link.send(&packet(SUBSCRIBE, &body)).await;
    link.next(|piece| assert_eq!((piece.kind, piece.body[2]), (SUBACK, 1), "not subscribed")).await;
}

pub(crate) fn publish(id: u16, topic: &str, data: &str) -> Vec<u8> {
    let mut body = text(topic);
    body.extend(id.to_be_bytes());
    body.extend(data.bytes());
    packet(PUBLISH_QOS_1, &body)
}

pub(crate) fn hear<'a>(piece: &Piece<'a>, answers: &mut Vec<u8>) -> Heard<'a> {
    if piece.kind == PINGRESP {
        return Heard::Settled;
    }
    if piece.kind & 0xf6 != PUBLISH_QOS_1 {
        return Heard::Other;
    }
    let topic = usize::from(u16::from_be_bytes([piece.body[0], piece.body[1]]));
    answers.extend(packet(PUBACK, &piece.body[2 + topic..4 + topic]));
    if piece.kind & 0x08 != 0 {
        return Heard::Again;
    }
    Heard::Event(&piece.body[4 + topic..], 0)
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend(text.bytes());
    bytes
}

pub(crate) fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut length = body.len();
    loop {
        let more = if length > 0x7f { 0x80 } else { 0 };
        packet.push((length & 0x7f) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}
