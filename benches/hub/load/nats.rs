//! NATS, and JetStream above it: a stream in files, a durable consumer per session, explicit acks.

use super::link::Link;
use super::piece::{Framing, NATS_MESSAGE};

pub(crate) async fn connect(port: u16) -> Link {
    let mut link = Link::connect(port, Framing::Nats).await;
    link.send(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\nPING\r\n").await;
    settle(&mut link).await;
    link
}

async fn settle(link: &mut Link) {
    while link.next(|piece| piece.kind).await != b'O' {}
}

/// Follows a subject, for sure once this is answered.
pub(crate) async fn subscribe(link: &mut Link, subject: &str) {
    // The subject names the subscription as well: there may be several.
    let id = subject;
    link.send(format!("SUB {subject} {id}\r\nPING\r\n").as_bytes()).await;
    settle(link).await;
}

/// Makes the one stream there is.
pub(crate) async fn make_stream(port: u16) {
    let mut link = connect(port).await;
    let stream = r#"{"name":"bench","subjects":["event.>"],"storage":"file","num_replicas":1}"#;
    subscribe(&mut link, "made").await;
    ask(&mut link, "$JS.API.STREAM.CREATE.bench", "made", stream).await;
}

/// Follows a subject of the stream as a durable consumer that acks each message.
pub(crate) async fn consume(link: &mut Link, topic: &str, session: &str) {
    let inbox = format!("made.{session}");
    subscribe(link, &inbox).await;
    let consumer = format!(
        r#"{{"stream_name":"bench","config":{{"durable_name":"{session}","deliver_subject":"to.{session}","deliver_policy":"all","ack_policy":"explicit","ack_wait":30000000000,"max_ack_pending":256,"filter_subject":"event.{topic}"}}}}"#
    );
    let subject = format!("$JS.API.CONSUMER.DURABLE.CREATE.bench.{session}");
    ask(link, &subject, &inbox, &consumer).await;
    subscribe(link, &format!("to.{session}")).await;
}

/// Follows what a consumer that was made before sends, without waiting: messages may come first.
pub(crate) async fn subscribe_now(link: &mut Link, session: &str) {
    link.send(format!("SUB to.{session} 1\r\n").as_bytes()).await;
}

async fn ask(link: &mut Link, subject: &str, inbox: &str, body: &str) {
    link.send(publish(subject, inbox, body).as_bytes()).await;
    answered(link).await;
}

/// A message; an inbox that is empty wants no answer.
pub(crate) fn publish(subject: &str, inbox: &str, body: &str) -> String {
    format!("PUB {subject} {inbox} {}\r\n{body}\r\n", body.len())
}

/// Waits for an answer that is no error.
pub(crate) async fn answered(link: &mut Link) {
    loop {
        let take = |piece: super::piece::Piece<'_>| {
            let text = String::from_utf8_lossy(piece.body).into_owned();
            (piece.kind, text)
        };
        let (kind, text) = link.next(take).await;
        assert!(!text.contains("\"error\"") && kind != b'-', "{text}");
        if kind == NATS_MESSAGE {
            return;
        }
    }
}
