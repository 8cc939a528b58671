//! One device: opens a session, takes its events, and answers what wants an answer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::link::Link;
use super::tally::Tally;
use super::wire::{Heard, Wire};
use super::{mqtt, nats, pusher};
use crate::server::Server;

thread_local! {
    /// What is read lands here: a buffer per connection would be most of the load's memory.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; 256 * 1024]);
}

/// Who a device is.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) topic: String,
    pub(crate) session: String,
    pub(crate) token: String,
    /// What a client of socket.io says to get what it missed.
    pub(crate) recovery: String,
}

/// Whether a session is opened for the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    New,
    Again,
}

pub(crate) struct Subscriber {
    link: Link,
    wire: Wire,
    /// The last place that was heard: what is not above it was sent again.
    place: u64,
    /// What socket.io's recovery wants to be told: who this was, and the last event's offset.
    recovered_by: Option<(String, String)>,
    /// Events that came before the session was open: recovery sends them first.
    early: u64,
}

impl Subscriber {
    pub(crate) async fn open(server: &Server, who: &Who, opening: Opening) -> Self {
        let (port, wire) = (server.port, server.candidate.wire());
        let Who { topic, session, token, .. } = who;
        let (mut recovered_by, mut early) = (None, 0);
        let link = match wire {
            Wire::Native | Wire::NativeAcked => native(port, who, wire).await,
            Wire::SocketIo => {
                let (link, pid, came) = socketio(port, who, server.candidate.is_ours()).await;
                early = came;
                recovered_by = pid.map(|pid| (pid, String::new()));
                link
            }
            Wire::Words | Wire::WordsAcked => {
                let mut link = Link::upgrade(port, "/").await;
                link.say(&format!("sub {topic} {token}")).await;
                assert_eq!(link.hear().await, "ok");
                link
            }
            Wire::Pusher => {
                let (mut link, name) = pusher::connect(port).await;
                pusher::subscribe(&mut link, &name, topic).await;
                link
            }
            Wire::Nchan => Link::upgrade(port, &format!("/sub/{topic}")).await,
            Wire::Mqtt => {
                let mut link = mqtt::connect(port, session).await;
                if opening == Opening::New {
                    mqtt::subscribe(&mut link, topic).await;
                }
                link
            }
            Wire::Nats => {
                let mut link = nats::connect(port).await;
                nats::subscribe(&mut link, topic).await;
                link
            }
            Wire::JetStream => {
                let mut link = nats::connect(port).await;
                match opening {
                    Opening::New => nats::consume(&mut link, topic, session).await,
                    Opening::Again => nats::subscribe_now(&mut link, session).await,
                }
                link
            }
        };
        Self { link, wire, place: 0, recovered_by, early }
    }

    /// Takes `count` events; fewer when the server closes.
    pub(crate) async fn follow(mut self, count: u64, tally: Rc<Tally>) -> Self {
        let (mut left, mut answers) = (count.saturating_sub(self.early), Vec::new());
        for _ in 0..std::mem::take(&mut self.early) {
            tally.count(&[]);
        }
        self.take(&[], &mut left, &tally, &mut answers);
        loop {
            if !answers.is_empty() {
                if self.link.stream.write_all(&answers).await.is_err() {
                    return self;
                }
                answers.clear();
            }
            if left == 0 {
                return self;
            }
            // A read that leaves room is the last there is for now: tokio sees that here, and not where
            // it is asked whether the socket is readable.
            let read = poll_fn(|context| {
                READ.with_borrow_mut(|buffer| {
                    let mut buffer = ReadBuf::new(buffer);
                    ready!(Pin::new(&mut self.link.stream).poll_read(context, &mut buffer))?;
                    self.take(buffer.filled(), &mut left, &tally, &mut answers);
                    Poll::Ready(Ok::<_, io::Error>(buffer.filled().len()))
                })
            });
            if !read.await.is_ok_and(|read| read > 0) {
                return self;
            }
        }
    }

    fn take(&mut self, read: &[u8], left: &mut u64, tally: &Tally, answers: &mut Vec<u8>) {
        let wire = self.wire;
        let (last, recovered_by) = (&mut self.place, &mut self.recovered_by);
        self.link.feed(read, |piece| match wire.hear(&piece, answers) {
            Heard::Event(event, place) if place == 0 || place > *last => {
                *last = place;
                if let Some((_, offset)) = recovered_by {
                    *offset = last_text(event);
                }
                tally.count(event);
                *left = left.saturating_sub(1);
            }
            Heard::Event(..) | Heard::Again => tally.count_again(),
            Heard::Settled | Heard::Other => {}
        });
    }

    /// What is to be said to get what is missed from now on.
    pub(crate) fn recovery(&self) -> String {
        let Some((pid, offset)) = &self.recovered_by else { return String::new() };
        format!(r#","pid":"{pid}","offset":"{offset}""#)
    }

    /// Waits until the server has obeyed everything this device said.
    pub(crate) async fn settle(mut self) -> Self {
        let Some(asked) = self.wire.settling() else { return self };
        self.link.send(&asked).await;
        loop {
            let wire = self.wire;
            let mut answers = Vec::new();
            let is_settled = self
                .link
                .next(|piece| matches!(wire.hear(&piece, &mut answers), Heard::Settled))
                .await;
            self.link.send(&answers).await;
            if is_settled {
                return self;
            }
        }
    }
}

async fn native(port: u16, Who { session, token, .. }: &Who, wire: Wire) -> Link {
    let mut link = Link::upgrade(port, "/ws").await;
    link.hear().await;
    let of_session = match wire {
        Wire::NativeAcked => format!(r#","session_id":"{session}","offline":"replay""#),
        _ => String::new(),
    };
    link.say(&format!(r#"{{"type":"auth","token":"{token}"{of_session}}}"#)).await;
    let answer = link.hear().await;
    assert!(answer.contains("auth_ok") || answer.contains("auth_success"), "{answer}");
    link
}

/// Joins the namespace `/`; a peer wants to be told the room as well. With recovery there is a name to
/// recover by, and the rooms are recovered too.
async fn socketio(port: u16, who: &Who, is_ours: bool) -> (Link, Option<String>, u64) {
    let Who { topic, token, recovery, .. } = who;
    let mut link = Link::upgrade(port, "/socket.io/?EIO=4&transport=websocket").await;
    link.hear().await;
    link.say(&format!(r#"40{{"token":"{token}"{recovery}}}"#)).await;
    let mut early = 0;
    let joined = loop {
        let text = said(&mut link, "4").await;
        if !text.starts_with("42") {
            break text;
        }
        early += 1;
    };
    assert!(joined.starts_with("40{"), "{joined}");
    let pid = joined.split(r#""pid":""#).nth(1).and_then(|rest| rest.split('"').next());
    if !is_ours && recovery.is_empty() {
        link.say(&format!(r#"420["sub","{topic}"]"#)).await;
        said(&mut link, "430").await;
    }
    (link, pid.map(str::to_owned), early)
}

/// The text a packet ends with: `…,"TEXT"]`.
fn last_text(packet: &[u8]) -> String {
    let packet = String::from_utf8_lossy(packet);
    packet.rsplit('"').nth(1).unwrap_or_default().to_owned()
}

/// The next packet that begins so; some servers ping at once.
pub(super) async fn said(link: &mut Link, start: &str) -> String {
    loop {
        let text = link.hear().await;
        if text == "2" {
            link.say("3").await;
        } else if text.starts_with(start) || text.starts_with("44") {
            return text;
        }
    }
}
