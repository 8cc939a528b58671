//! The application: publishes events, in the way each candidate has for it.

use std::cell::Cell;

use staffetta::auth::Scope;

use super::http::Http;
use super::link::Link;
use super::wire::Wire;
use super::{mqtt, nats, piece, pusher, subscriber};
use crate::candidate::Candidate;
use crate::server::Server;

thread_local! {
    static OPENED: Cell<u64> = const { Cell::new(0) };
}

/// An event: whom it is for, and its data.
pub(crate) struct Published {
    pub(crate) topic: String,
    pub(crate) data: String,
}

/// What a publish must be before it returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Handed over.
    Sent,
    /// Acked by every session: only for those that ask the publisher to wait for that.
    Acked,
}

pub(crate) struct Publisher {
    candidate: Candidate,
    way: Way,
    until: Until,
    token: String,
    id: u16,
    inbox: String,
}

enum Way {
    Http(Http),
    Link(Link),
}

impl Publisher {
    /// `topics` is whom it may publish to: some must follow what they publish to.
    pub(crate) async fn open(server: &Server, topics: &[String], until: Until) -> Self {
        let candidate = server.candidate;
        let opened = OPENED.replace(OPENED.get() + 1);
        let inbox = format!("answers.{opened}");
        let mut token = String::new();
        let way = match candidate.wire() {
            _ if candidate.is_ours()
                || matches!(candidate, Candidate::Actix | Candidate::ActixStored) =>
            {
                token = server.token("app", &[Scope::Publish]);
                Way::Http(Http::connect(server.port).await)
            }
            Wire::Nchan => Way::Http(Http::connect(server.port).await),
            Wire::Native | Wire::NativeAcked | Wire::Words | Wire::WordsAcked => {
                Way::Link(Link::upgrade(server.port, "/").await)
            }
            Wire::SocketIo => {
                let mut link =
                    Link::upgrade(server.port, "/socket.io/?EIO=4&transport=websocket").await;
                link.say(&format!(r#"40{{"token":"{}"}}"#, server.token("app", &[]))).await;
                subscriber::said(&mut link, "40").await;
                Way::Link(link)
            }
            Wire::Pusher => {
                let (mut link, name) = pusher::connect(server.port).await;
                for topic in topics {
                    pusher::subscribe(&mut link, &name, topic).await;
                }
                Way::Link(link)
            }
            Wire::Mqtt => Way::Link(mqtt::connect(server.port, &format!("app-{opened}")).await),
            Wire::Nats => Way::Link(nats::connect(server.port).await),
            Wire::JetStream => {
                let mut link = nats::connect(server.port).await;
                nats::subscribe(&mut link, &inbox).await;
                Way::Link(link)
            }
        };
        Self { candidate, way, until, token, id: 0, inbox }
    }

    /// Publishes all of these together, and waits for every answer there is.
    pub(crate) async fn publish(&mut self, events: &[Published]) {
        let posts = self.posts(events);
        let packets = self.packets(events);
        match &mut self.way {
            Way::Http(http) => http.post_all(&self.token, &posts).await,
            Way::Link(link) => {
                link.send(&packets).await;
                let wire = self.candidate.wire();
                for _ in 0..events.len() {
                    answer(link, wire, self.until).await;
                }
            }
        }
    }

    fn posts(&self, events: &[Published]) -> Vec<(String, String)> {
        let Way::Http(_) = &self.way else { return Vec::new() };
        if self.candidate == Candidate::ActixStored {
            let all: Vec<_> = events
                .iter()
                .map(|Published { topic, data }| format!(r#"{{"topic":"{topic}","data":{data}}}"#))
                .collect();
            return vec![("/pub".to_owned(), format!("[{}]", all.join(",")))];
        }
        if !self.candidate.is_ours() {
            let post = |event: &Published| (format!("/pub/{}", event.topic), event.data.clone());
            return events.iter().map(post).collect();
        }
        let kept = if self.candidate.stores() { "" } else { r#","ephemeral":true"# };
        let body =
            |Published { data, .. }: &Published| format!(r#""type":"added","data":{data}{kept}"#);
        if let [event] = events {
            let path = format!("/api/v1/users/{}/events", event.topic);
            return vec![(path, format!("{{{}}}", body(event)))];
        }
        let all: Vec<_> = events
            .iter()
            .map(|event| format!(r#"{{"user":"{}",{}}}"#, event.topic, body(event)))
            .collect();
        vec![("/api/v1/events".to_owned(), format!("[{}]", all.join(",")))]
    }

    fn packets(&mut self, events: &[Published]) -> Vec<u8> {
        let mut packets = Vec::new();
        if let Way::Http(_) = &self.way {
            return packets;
        }
        for Published { topic, data } in events {
            // Never zero, which MQTT refuses.
            self.id = self.id % u16::MAX + 1;
            let text = match (self.candidate.wire(), self.until) {
                (Wire::Mqtt, _) => {
                    packets.extend(mqtt::publish(self.id, topic, data));
                    continue;
                }
                (Wire::Nats, _) => {
                    packets.extend(nats::publish(topic, "", data).into_bytes());
                    continue;
                }
                (Wire::JetStream, _) => {
                    let subject = format!("event.{topic}");
                    packets.extend(nats::publish(&subject, &self.inbox, data).into_bytes());
                    continue;
                }
                (Wire::SocketIo, Until::Sent) => format!(r#"42["pub","{topic}",{data}]"#),
                (Wire::SocketIo, Until::Acked) => {
                    format!(r#"42{}["pub_acked","{topic}",{data}]"#, self.id)
                }
                (Wire::Pusher, _) => pusher::publish(topic, data),
                _ => format!("pub {topic} {data}"),
            };
            piece::text_frame(text.as_bytes(), &mut packets);
        }
        packets
    }
}

/// Waits for the answer to one event, where there is one.
async fn answer(link: &mut Link, wire: Wire, until: Until) {
    match wire {
        Wire::Mqtt => {
            let wait = link.next(|piece| assert_eq!(piece.kind, mqtt::PUBACK));
            tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.unwrap();
        }
        Wire::JetStream => nats::answered(link).await,
        Wire::SocketIo if until == Until::Acked => {
            subscriber::said(link, "43").await;
        }
        Wire::WordsAcked => assert_eq!(link.hear().await, "stored"),
        _ => {}
    }
}
