//! The design taken literally: a row per event and session, each publish and each ack a
//! transaction of its own, and every 3 s a look through all rows for those to be sent again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use super::sqlite;
use super::upgrade::{client_frame, server_frame, upgrade};

const ACK_WAIT: Duration = Duration::from_secs(3);

struct Literal {
    connection: SqliteConnection,
    topics: HashMap<String, Vec<String>>,
    sessions: HashMap<String, UnboundedSender<String>>,
    started: Instant,
    events: i64,
}

#[derive(QueryableByName)]
struct Overdue {
    #[diesel(sql_type = Text)]
    event_id: String,
    #[diesel(sql_type = Text)]
    session_id: String,
    #[diesel(sql_type = Text)]
    data: String,
}

pub(crate) async fn serve(port: &str) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    let mut connection = sqlite::database(std::path::Path::new("."));
    connection.batch_execute("CREATE INDEX by_number ON events (seq)").unwrap();
    let hub = Rc::new(RefCell::new(Literal {
        connection,
        topics: HashMap::new(),
        sessions: HashMap::new(),
        started: Instant::now(),
        events: 0,
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
            spawn_local(obey(stream, Rc::clone(&hub)));
        }
    };
    LocalSet::new().run_until(accepting).await
}

async fn obey(mut stream: TcpStream, hub: Rc<RefCell<Literal>>) -> Option<()> {
    upgrade(&mut stream).await?;
    let (mut reading, mut writing) = stream.into_split();
    let (sender, mut texts) = unbounded_channel::<String>();
    spawn_local(async move {
        while let Some(text) = texts.recv().await {
            let mut frame = Vec::new();
            server_frame(text.as_bytes(), &mut frame);
            if writing.write_all(&frame).await.is_err() {
                return;
            }
        }
    });
    let (mut bytes, mut session) = (Vec::new(), String::new());
    loop {
        while let Some((body, taken)) = client_frame(&bytes) {
            bytes.drain(..taken);
            let text = String::from_utf8(body).ok()?;
            let words: Vec<&str> = text.splitn(3, ' ').collect();
            let mut hub = hub.borrow_mut();
            let answer = match words[..] {
                ["sub", topic, _] => {
                    session = hub.follow(topic, sender.clone());
                    "ok"
                }
                ["pub", topic, data] => {
                    hub.publish(topic, data);
                    "stored"
                }
                ["ack", event] => {
                    hub.ack(event, &session);
                    continue;
                }
                _ => "pong",
            };
            let _ = sender.send(answer.to_owned());
        }
        if reading.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

impl Literal {
    fn now_ms(&self) -> i64 {
        self.started.elapsed().as_millis() as i64
    }

    fn follow(&mut self, topic: &str, sender: UnboundedSender<String>) -> String {
        let session = format!("session-{}", self.sessions.len());
        self.topics.entry(topic.to_owned()).or_default().push(session.clone());
        self.sessions.insert(session.clone(), sender);
        session
    }

    fn publish(&mut self, topic: &str, data: &str) {
        self.events += 1;
        let (event, now) = (self.events.to_string(), self.now_ms());
        let sessions = self.topics.get(topic).cloned().unwrap_or_default();
        self.connection.batch_execute("BEGIN IMMEDIATE").unwrap();
        sqlite::insert(&mut self.connection, self.events, topic, data);
        for session in &sessions {
            sql_query("INSERT INTO deliveries VALUES (?, ?, 'sent', ?)")
                .bind::<Text, _>(&event)
                .bind::<Text, _>(session)
                .bind::<BigInt, _>(now)
                .execute(&mut self.connection)
                .unwrap();
        }
        self.connection.batch_execute("COMMIT").unwrap();
        for session in &sessions {
            self.send(&event, session, data);
        }
    }

    fn ack(&mut self, event: &str, session: &str) {
        sql_query(
            "UPDATE deliveries SET state = 'acked' \
             WHERE event_id = ? AND session_id = ? AND state = 'sent'",
        )
        .bind::<Text, _>(event)
        .bind::<Text, _>(session)
        .execute(&mut self.connection)
        .unwrap();
    }

    /// Looks through everything for what is overdue, and sends it again.
    fn scan(&mut self) {
        let overdue: Vec<Overdue> = sql_query(
            "SELECT deliveries.event_id, session_id, data FROM deliveries \
             JOIN events ON events.seq = CAST(deliveries.event_id AS INTEGER) \
             WHERE state = 'sent' AND sent_at <= ?",
        )
        .bind::<BigInt, _>(self.now_ms() - ACK_WAIT.as_millis() as i64)
        .load(&mut self.connection)
        .unwrap();
        for Overdue { event_id, session_id, data } in overdue {
            self.send(&event_id, &session_id, &data);
        }
    }

    fn send(&self, event: &str, session: &str, data: &str) {
        if let Some(sender) = self.sessions.get(session) {
            let _ = sender.send(format!("{event} {data}"));
        }
    }
}
