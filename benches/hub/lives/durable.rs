//! What the machine allows where every event is on disk before it is sent, and acked: one thread that
//! appends to SQLite with FULL whatever waits, and one that writes a frame for each event and session.
//!
//! Nothing can be less: the table has no index, its journal is never copied into the database, nobody's
//! token is looked at, and an ack is read and forgotten.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use diesel::connection::SimpleConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use super::raw::{TURN_BYTES, write};
use super::sqlite;
use super::upgrade::{client_frame, server_frame, upgrade};

/// What is read at once of a session.
const ACKS_BYTES: usize = 1_024;

/// What came in one read, or one request, of a publisher.
pub(super) struct Batch<P> {
    pub(super) publisher: P,
    /// Topics and data.
    pub(super) events: Vec<(String, String)>,
}

/// Topics and numbered data of what is on disk, and how many events of which publisher these are.
pub(super) struct Stored<P> {
    pub(super) texts: Vec<(String, String)>,
    pub(super) answers: Vec<(P, usize)>,
}

#[derive(Default)]
struct Clients {
    topics: HashMap<String, Vec<Rc<TcpStream>>>,
    publishers: Vec<Rc<TcpStream>>,
}

impl Clients {
    fn follow(&mut self, topic: &str, stream: &Rc<TcpStream>) {
        self.topics.entry(topic.to_owned()).or_default().push(Rc::clone(stream));
    }

    /// A publisher's number.
    fn publisher(&mut self, stream: &Rc<TcpStream>) -> usize {
        self.publishers.push(Rc::clone(stream));
        self.publishers.len() - 1
    }
}

pub(crate) async fn serve(port: &str) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    let (batches, waiting) = channel();
    let (done, stored) = unbounded_channel();
    thread::spawn(move || commit(&waiting, &done));
    let clients = Rc::new(RefCell::new(Clients::default()));
    let accepting = async {
        spawn_local(deliver(stored, Rc::clone(&clients)));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            spawn_local(obey(stream, batches.clone(), Rc::clone(&clients)));
        }
    };
    LocalSet::new().run_until(accepting).await
}

/// Commits what waits as one group, and says what is to be sent.
pub(super) fn commit<P>(waiting: &Receiver<Batch<P>>, done: &UnboundedSender<Stored<P>>) {
    let mut connection = sqlite::log(Path::new("."));
    let mut number = 0;
    while let Ok(first) = waiting.recv() {
        let mut stored = Stored { texts: Vec::new(), answers: Vec::new() };
        connection.batch_execute("BEGIN IMMEDIATE").unwrap();
        for Batch { publisher, events } in [first].into_iter().chain(waiting.try_iter()) {
            stored.answers.push((publisher, events.len()));
            for (topic, data) in events {
                number += 1;
                sqlite::insert(&mut connection, number, &topic, &data);
                stored.texts.push((topic, format!("{number} {data}")));
            }
        }
        connection.batch_execute("COMMIT").unwrap();
        if done.send(stored).is_err() {
            return;
        }
    }
}

async fn deliver(mut stored: UnboundedReceiver<Stored<usize>>, clients: Rc<RefCell<Clients>>) {
    while let Some(Stored { texts, answers }) = stored.recv().await {
        for (topic, text) in texts {
            let mut frame = Vec::new();
            server_frame(text.as_bytes(), &mut frame);
            let followers = clients.borrow().topics.get(&topic).cloned().unwrap_or_default();
            for follower in followers {
                write(&follower, &frame).await;
            }
        }
        for (publisher, events) in answers {
            let stream = Rc::clone(&clients.borrow().publishers[publisher]);
            write(&stream, &b"\x81\x06stored".repeat(events)).await;
        }
    }
}

/// Obeys `sub` and `pub`; an ack is read, and nothing more is done with it.
async fn obey(
    mut stream: TcpStream,
    batches: Sender<Batch<usize>>,
    clients: Rc<RefCell<Clients>>,
) -> Option<()> {
    upgrade(&mut stream).await?;
    let stream = Rc::new(stream);
    let mut publisher = None;
    let mut bytes = Vec::new();
    loop {
        let (mut events, mut at) = (Vec::new(), 0);
        while let Some((body, taken)) = client_frame(&bytes[at..]) {
            at += taken;
            let text = String::from_utf8(body).ok()?;
            match text.splitn(3, ' ').collect::<Vec<_>>()[..] {
                ["pub", topic, data] => events.push((topic.to_owned(), data.to_owned())),
                ["ack", _] => {}
                ["sub", topic, _] => {
                    clients.borrow_mut().follow(topic, &stream);
                    write(&stream, b"\x81\x02ok").await;
                }
                _ => write(&stream, b"\x81\x04pong").await,
            }
        }
        bytes.drain(..at);
        if !events.is_empty() {
            let publisher =
                *publisher.get_or_insert_with(|| clients.borrow_mut().publisher(&stream));
            batches.send(Batch { publisher, events }).ok()?;
        }
        stream.readable().await.ok()?;
        bytes.reserve(if publisher.is_some() { TURN_BYTES } else { ACKS_BYTES });
        match stream.try_read_buf(&mut bytes) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}
