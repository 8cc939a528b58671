//! What the clients of each candidate hear and answer.

use super::mqtt;
use super::piece::{NATS_MESSAGE, PING, Piece, TEXT, frame, text_frame};

/// A wire as a subscriber speaks it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// `/ws`: a plain session, or a reliable one that acks.
    Native,
    NativeAcked,
    SocketIo,
    /// The words of our small peers: `sub TOPIC TOKEN`, `pub TOPIC DATA`, `ping`.
    Words,
    /// The same; events begin with a name that is acked by `ack NAME`.
    WordsAcked,
    Pusher,
    Nchan,
    Mqtt,
    Nats,
    JetStream,
}

/// What a piece was.
pub(crate) enum Heard<'a> {
    /// An event, and its place in the session where that rises; zero where it is not told.
    Event(&'a [u8], u64),
    /// An event that says it was sent before.
    Again,
    /// Everything said before has been obeyed.
    Settled,
    Other,
}

impl Wire {
    /// What a piece is; what it wants answered, acks among it, goes to `answers`.
    pub(crate) fn hear<'a>(self, piece: &Piece<'a>, answers: &mut Vec<u8>) -> Heard<'a> {
        match self {
            Self::Mqtt => return mqtt::hear(piece, answers),
            Self::Nats | Self::JetStream => return hear_nats(piece, answers),
            _ => {}
        }
        let body = piece.body;
        match piece.kind {
            PING => frame(0xa, body, answers),
            TEXT => return self.hear_text(body, answers),
            _ => {}
        }
        Heard::Other
    }

    fn hear_text<'a>(self, body: &'a [u8], answers: &mut Vec<u8>) -> Heard<'a> {
        match self {
            Self::Native | Self::NativeAcked if body.starts_with(br#"{"type":"added""#) => {
                if self == Self::Native {
                    return Heard::Event(body, 0);
                }
                ack_native(body, answers);
                Heard::Event(body, number_after(body, br#""seq":"#))
            }
            Self::Native | Self::NativeAcked if holds(body, br#""type":"pong""#) => Heard::Settled,
            Self::SocketIo => hear_socketio(body, answers),
            Self::Words | Self::WordsAcked if body == b"pong" => Heard::Settled,
            Self::Words => Heard::Event(body, 0),
            Self::WordsAcked => {
                let name = body.split(|&byte| byte == b' ').next().unwrap();
                text_frame(&[b"ack ", name].concat(), answers);
                Heard::Event(body, number_after(body, b""))
            }
            Self::Pusher if body.starts_with(br#"{"event":"pusher:ping""#) => {
                text_frame(br#"{"event":"pusher:pong","data":{}}"#, answers);
                Heard::Other
            }
            Self::Pusher if body.starts_with(br#"{"event":"pusher"#) => Heard::Other,
            Self::Pusher | Self::Nchan => Heard::Event(body, 0),
            _ => Heard::Other,
        }
    }

    /// What is answered after everything before it was obeyed; none where nothing is.
    pub(crate) fn settling(self) -> Option<Vec<u8>> {
        let mut asked = Vec::new();
        match self {
            Self::Native | Self::NativeAcked => text_frame(br#"{"type":"ping"}"#, &mut asked),
            Self::Words | Self::WordsAcked => text_frame(b"ping", &mut asked),
            Self::Mqtt => asked.extend(mqtt::packet(mqtt::PINGREQ, &[])),
            Self::Nats | Self::JetStream => asked.extend(b"PING\r\n"),
            Self::SocketIo | Self::Pusher | Self::Nchan => return None,
        }
        Some(asked)
    }
}

fn ack_native(body: &[u8], answers: &mut Vec<u8>) {
    let key = br#""event_id":""#;
    let at = body.windows(key.len()).rposition(|window| window == key).unwrap() + key.len();
    text_frame(&[br#"{"type":"ack","event_id":""#, &body[at..at + 36], b"\"}"].concat(), answers);
}

fn holds(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

/// The number that follows the last `key`.
fn number_after(body: &[u8], key: &[u8]) -> u64 {
    let at = match key {
        [] => 0,
        key => body.windows(key.len()).rposition(|window| window == key).unwrap() + key.len(),
    };
    let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

/// `42[…]`, or `42ID[…]`, which is acked.
fn hear_socketio<'a>(body: &'a [u8], answers: &mut Vec<u8>) -> Heard<'a> {
    if body == b"2" {
        text_frame(b"3", answers);
    }
    if !body.starts_with(b"42") {
        return Heard::Other;
    }
    let end = body.iter().position(|&byte| byte == b'[').unwrap_or(body.len());
    if end > 2 {
        text_frame(&[b"43", &body[2..end], b"[]"].concat(), answers);
    }
    Heard::Event(body, 0)
}

fn hear_nats<'a>(piece: &Piece<'a>, answers: &mut Vec<u8>) -> Heard<'a> {
    match piece.kind {
        b'P' => answers.extend(b"PONG\r\n"),
        b'O' => return Heard::Settled,
        NATS_MESSAGE => {
            if !piece.reply.is_empty() {
                answers.extend([b"PUB ", piece.reply, b" 4\r\n+ACK\r\n"].concat());
            }
            // $JS.ACK.STREAM.CONSUMER.DELIVERED.…
            return match piece.reply.split(|&byte| byte == b'.').nth(4) {
                None | Some(b"1") => Heard::Event(piece.body, 0),
                Some(_) => Heard::Again,
            };
        }
        _ => {}
    }
    Heard::Other
}
