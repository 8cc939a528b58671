//! The design taken literally: a row per event and session, each publish and each ack a
//! transaction of its own, and every 3 s a look through all rows for those to be sent again.
//!
//! Over plain sockets with a line per message, which costs less than WebSocket and JSON: what is
//! compared is the storing and the scanning.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use crate::durable::{Figure, PUBLISHERS, USERS};
use crate::limits;
use crate::server::Server;

const ACK_WAIT: Duration = Duration::from_secs(3);

/// Long enough for two of its looks through everything.
const MEASURED: Duration = Duration::from_secs(7);

struct Literal {
    connection: SqliteConnection,
    sessions: HashMap<String, UnboundedSender<String>>,
    started: Instant,
    events: i64,
    acked: usize,
}

#[derive(QueryableByName)]
struct Overdue {
    #[diesel(sql_type = Text)]
    event_id: String,
    #[diesel(sql_type = Text)]
    session_id: String,
}

/// The other life of this program: a server of this design.
pub(crate) async fn serve(port: &str) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    let hub = Rc::new(RefCell::new(Literal {
        connection: limits::database(std::path::Path::new(".")),
        sessions: HashMap::new(),
        started: Instant::now(),
        events: 0,
        acked: 0,
    }));
    let scanned = Rc::clone(&hub);
    let accepting = async {
        spawn_local(async move {
            loop {
                tokio::time::sleep(ACK_WAIT).await;
                scanned.borrow_mut().scan();
            }
        });
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            spawn_local(connection(stream, Rc::clone(&hub)));
        }
    };
    LocalSet::new().run_until(accepting).await
}

async fn connection(stream: TcpStream, hub: Rc<RefCell<Literal>>) {
    let (reading, mut writing) = stream.into_split();
    let (sender, mut lines) = unbounded_channel::<String>();
    spawn_local(async move {
        while let Some(line) = lines.recv().await {
            writing.write_all(line.as_bytes()).await.unwrap();
        }
    });
    let mut reader = BufReader::new(reading).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        let words: Vec<&str> = line.split(' ').collect();
        let mut hub = hub.borrow_mut();
        let answer = match words[..] {
            ["session", session] => {
                hub.sessions.insert(session.to_owned(), sender.clone());
                "attached\n".to_owned()
            }
            ["event", user] => {
                hub.publish(user);
                "stored\n".to_owned()
            }
            ["ack", event, session] => {
                hub.ack(event, session);
                continue;
            }
            _ => format!("{}\n", hub.acked),
        };
        let _ = sender.send(answer);
    }
}

impl Literal {
    fn now_ms(&self) -> i64 {
        self.started.elapsed().as_millis() as i64
    }

    fn publish(&mut self, user: &str) {
        self.events += 1;
        let (event, now) = (self.events.to_string(), self.now_ms());
        self.connection.batch_execute("BEGIN IMMEDIATE").unwrap();
        limits::insert(&mut self.connection, self.events);
        for device in 0..2 {
            sql_query("INSERT INTO deliveries VALUES (?, ?, 'sent', ?)")
                .bind::<Text, _>(&event)
                .bind::<Text, _>(format!("{user}-{device}"))
                .bind::<BigInt, _>(now)
                .execute(&mut self.connection)
                .unwrap();
        }
        self.connection.batch_execute("COMMIT").unwrap();
        for device in 0..2 {
            self.send(&event, &format!("{user}-{device}"));
        }
    }

    fn ack(&mut self, event: &str, session: &str) {
        let changed = sql_query(
            "UPDATE deliveries SET state = 'acked' \
             WHERE event_id = ? AND session_id = ? AND state = 'sent'",
        )
        .bind::<Text, _>(event)
        .bind::<Text, _>(session)
        .execute(&mut self.connection)
        .unwrap();
        self.acked += changed;
    }

    /// Looks through everything for what is overdue, and sends it again.
    fn scan(&mut self) {
        let overdue: Vec<Overdue> = sql_query(
            "SELECT event_id, session_id FROM deliveries WHERE state = 'sent' AND sent_at <= ?",
        )
        .bind::<BigInt, _>(self.now_ms() - ACK_WAIT.as_millis() as i64)
        .load(&mut self.connection)
        .unwrap();
        for Overdue { event_id, session_id } in overdue {
            self.send(&event_id, &session_id);
        }
    }

    fn send(&self, event: &str, session: &str) {
        if let Some(sender) = self.sessions.get(session) {
            let _ = sender.send(format!("{event} added photo-1\n"));
        }
    }
}

/// Acked deliveries of this design, to the durable bench's users, each publisher one at a time.
pub(crate) async fn run() -> Figure {
    let server = Server::other_life("literal").await;
    for user in 0..USERS {
        for device in 0..2 {
            let session = format!("user-{user}-{device}");
            let mut stream = Lines::connect(server.port).await;
            stream.ask(&format!("session {session}\n")).await;
            tokio::spawn(async move {
                while let Some(line) = stream.next().await {
                    let event = line.split(' ').next().unwrap();
                    stream.say(&format!("ack {event} {session}\n")).await;
                }
            });
        }
    }
    let (start, before) = (Instant::now(), server.cpu());
    let mut publishing = Vec::new();
    for publisher in 0..PUBLISHERS {
        let mut stream = Lines::connect(server.port).await;
        publishing.push(tokio::spawn(async move {
            let mut user = publisher;
            while start.elapsed() < MEASURED {
                stream.ask(&format!("event user-{}\n", user % USERS)).await;
                user += PUBLISHERS;
            }
        }));
    }
    for publisher in publishing {
        publisher.await.unwrap();
    }
    let acked = Lines::connect(server.port).await.ask("acked\n").await.parse().unwrap();
    Figure::new(acked, start.elapsed(), server.cpu() - before)
}

/// A socket read line by line.
struct Lines(BufReader<TcpStream>);

impl Lines {
    async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    async fn say(&mut self, line: &str) {
        // The server may be gone already: what was measured is known by then.
        let _ = self.0.get_mut().write_all(line.as_bytes()).await;
    }

    /// The next line; none when the server is gone.
    async fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }

    async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        self.next().await.unwrap()
    }
}
