//! A WebSocket server's side of a connection with nothing in it that is not needed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Reads a request, and upgrades whatever it asks for. None when the client is gone.
pub(crate) async fn upgrade(stream: &mut TcpStream) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8_lossy(&request);
    let key = text.split("Sec-WebSocket-Key: ").nth(1)?.split("\r\n").next()?;
    let accept = actix_http::ws::hash_key(key.as_bytes());
    let accept = String::from_utf8_lossy(&accept);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.ok()
}

/// The masked frame `bytes` begin with, unmasked, and its length with all; none while it is not whole.
pub(crate) fn client_frame(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (header, len) = match bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        len => (2, usize::from(len)),
    };
    let mask = bytes.get(header..header + 4)?;
    let body = bytes.get(header + 4..header + 4 + len)?;
    let unmasked = body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((unmasked, header + 4 + len))
}

/// Appends a text frame.
pub(crate) fn server_frame(payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x81);
    if payload.len() < 126 {
        out.push(payload.len() as u8);
    } else {
        out.push(126);
        out.extend((payload.len() as u16).to_be_bytes());
    }
    out.extend(payload);
}
