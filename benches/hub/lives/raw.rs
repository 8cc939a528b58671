//! What the machine allows: connections that are let in with one look at a token, and frames that are
//! written to all who follow a topic, one write per frame, or one for all frames of a turn.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use super::upgrade::{client_frame, server_frame, upgrade};

/// How frames reach a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    Each,
    /// Each, and as long as the hub's own would be.
    EachAsLong,
    Coalesced,
}

/// What is read at once of a publisher, and of one who has not said anything yet.
pub(super) const TURN_BYTES: usize = 64 * 1024;
const HELLO_BYTES: usize = 1_024;

/// What a frame of `/ws` has beyond the data of the benches' events.
const ENVELOPE_BYTES: usize = 65;

type Topics = Rc<RefCell<HashMap<String, Vec<Rc<TcpStream>>>>>;

pub(super) struct Door {
    key: DecodingKey,
    validation: Validation,
}

pub(crate) async fn serve(port: &str, key_file: &str, writes: Writes) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    let door = Rc::new(Door::new(Path::new(key_file)));
    let topics = Topics::default();
    let accepting = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            spawn_local(connection(stream, Rc::clone(&door), Rc::clone(&topics), writes));
        }
    };
    LocalSet::new().run_until(accepting).await
}

impl Door {
    pub(super) fn new(file: &Path) -> Self {
        staffetta::auth::install_provider();
        let key = std::fs::read(file).unwrap();
        if key.starts_with(b"-----BEGIN") {
            let key = DecodingKey::from_rsa_pem(&key).unwrap();
            return Self { key, validation: Validation::new(Algorithm::RS256) };
        }
        let key = DecodingKey::from_secret(key.trim_ascii());
        Self { key, validation: Validation::new(Algorithm::HS256) }
    }

    pub(super) fn lets_in(&self, token: &str) -> bool {
        decode::<serde_json::Value>(token, &self.key, &self.validation).is_ok()
    }
}

/// Obeys `sub`, after which nothing more is read, or any number of `pub`.
async fn connection(
    mut stream: TcpStream,
    door: Rc<Door>,
    topics: Topics,
    writes: Writes,
) -> Option<()> {
    upgrade(&mut stream).await?;
    let (mut bytes, mut at, mut is_publisher) = (Vec::new(), 0, false);
    loop {
        let mut turn: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
        while let Some((body, taken)) = client_frame(&bytes[at..]) {
            at += taken;
            let text = String::from_utf8(body).ok()?;
            let mut words = text.splitn(3, ' ');
            let (verb, topic, rest) = (words.next()?, words.next().unwrap_or(""), words.next());
            if verb == "sub" {
                if !door.lets_in(rest?) {
                    return None;
                }
                stream.write_all(b"\x81\x02ok").await.ok()?;
                topics.borrow_mut().entry(topic.to_owned()).or_default().push(Rc::new(stream));
                return None;
            }
            let frames = turn.entry(topic.to_owned()).or_default();
            frames.push(Vec::new());
            let more = if writes == Writes::EachAsLong { ENVELOPE_BYTES } else { 0 };
            let text = format!("{}{}", rest?, " ".repeat(more));
            server_frame(text.as_bytes(), frames.last_mut()?);
        }
        is_publisher |= !turn.is_empty();
        for (topic, frames) in turn {
            let followers = topics.borrow().get(&topic).cloned().unwrap_or_default();
            deliver(&followers, &frames, writes).await;
        }
        bytes.drain(..at);
        at = 0;
        bytes.reserve(if is_publisher { TURN_BYTES } else { HELLO_BYTES });
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn deliver(followers: &[Rc<TcpStream>], frames: &[Vec<u8>], writes: Writes) {
    if writes == Writes::Coalesced {
        let all = frames.concat();
        for follower in followers {
            write(follower, &all).await;
        }
        return;
    }
    for frame in frames {
        for follower in followers {
            write(follower, frame).await;
        }
    }
}

/// Writes all of it; waits while the connection takes nothing.
pub(super) async fn write(stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = stream.writable().await;
            }
            // Whoever is gone is not waited for.
            Err(_) => return,
        }
    }
}
