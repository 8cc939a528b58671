//! How a stream of bytes falls into pieces: WebSocket frames, MQTT packets, NATS operations, answers
//! of HTTP.

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const PING: u8 = 0x9;

/// A message of NATS; others are named by their first letter, a `PONG` by its second.
pub(crate) const NATS_MESSAGE: u8 = b'M';

#[derive(Clone, Copy)]
pub(crate) enum Framing {
    WebSocket,
    Mqtt,
    Nats,
    Http,
}

/// One unit of a stream.
pub(crate) struct Piece<'a> {
    /// The opcode of WebSocket, the first byte of MQTT, the letter of NATS, the first digit of an
    /// HTTP status.
    pub(crate) kind: u8,
    /// Where NATS wants an answer.
    pub(crate) reply: &'a [u8],
    pub(crate) body: &'a [u8],
    /// How many bytes it is, all in all.
    pub(crate) taken: usize,
}

impl Framing {
    /// The piece `bytes` start with; none while it is not whole.
    pub(crate) fn piece(self, bytes: &[u8]) -> Option<Piece<'_>> {
        match self {
            Self::WebSocket => websocket(bytes),
            Self::Mqtt => mqtt(bytes),
            Self::Nats => nats(bytes),
            Self::Http => http(bytes),
        }
    }
}

fn websocket(bytes: &[u8]) -> Option<Piece<'_>> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (header, len) = match second {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        len => (2, usize::from(len)),
    };
    let body = bytes.get(header..header + len)?;
    Some(Piece { kind: first & 0x0f, reply: &[], body, taken: header + len })
}

fn mqtt(bytes: &[u8]) -> Option<Piece<'_>> {
    let kind = *bytes.first()?;
    let (mut length, mut at) = (0, 1);
    loop {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(Piece { kind, reply: &[], body: bytes.get(at..at + length)?, taken: at + length })
}

fn nats(bytes: &[u8]) -> Option<Piece<'_>> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let line = bytes.get(..end)?.trim_ascii_end();
    let first = *line.first()?;
    if !line.starts_with(b"MSG ") {
        // PING and PONG begin with the same letter.
        let kind = if line == b"PONG" { b'O' } else { first };
        return Some(Piece { kind, reply: &[], body: line, taken: end + 1 });
    }
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let reply = if words.len() == 5 { words[3] } else { &[] };
    let length: usize = std::str::from_utf8(words.last()?).ok()?.parse().ok()?;
    let body = bytes.get(end + 1..end + 1 + length)?;
    let taken = end + 1 + length + 2;
    (bytes.len() >= taken).then_some(Piece { kind: NATS_MESSAGE, reply, body, taken })
}

fn http(bytes: &[u8]) -> Option<Piece<'_>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let body = bytes.get(end..end + length)?;
    let kind = bytes.get(9)? - b'0';
    Some(Piece { kind, reply: &bytes[9..12], body, taken: end + length })
}

/// Appends a text frame, masked with zeros.
pub(crate) fn text_frame(payload: &[u8], out: &mut Vec<u8>) {
    frame(TEXT, payload, out);
}

/// Appends a frame of a client.
pub(crate) fn frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    if payload.len() < 126 {
        out.push(0x80 | payload.len() as u8);
    } else {
        out.push(0x80 | 126);
        out.extend((payload.len() as u16).to_be_bytes());
    }
    out.extend([0; 4]);
    out.extend(payload);
}
