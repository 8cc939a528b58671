//! The Pusher protocol: private channels, and client events, which the subscribers of a channel may
//! publish to it.

use aws_lc_rs::hmac;

use super::link::Link;

pub(crate) const APP: &str = "bench";
pub(crate) const KEY: &str = "bench-key";
pub(crate) const SECRET: &str = "bench-secret";

/// A connection, and its name.
pub(crate) async fn connect(port: u16) -> (Link, String) {
    let mut link =
        Link::upgrade(port, &format!("/app/{KEY}?protocol=7&client=bench&version=1")).await;
    let hello = link.hear().await;
    let name = hello.split("socket_id\\\":\\\"").nth(1).and_then(|rest| rest.split('\\').next());
    let name = name.unwrap().to_owned();
    (link, name)
}

pub(crate) async fn subscribe(link: &mut Link, name: &str, topic: &str) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("{name}:private-{topic}").as_bytes());
    let auth = format!("{KEY}:{}", hex::encode(tag));
    link.say(&format!(
        r#"{{"event":"pusher:subscribe","data":{{"channel":"private-{topic}","auth":"{auth}"}}}}"#
    ))
    .await;
    let answer = link.hear().await;
    assert!(answer.contains("subscription_succeeded"), "{answer}");
}

pub(crate) fn publish(topic: &str, data: &str) -> String {
    format!(r#"{{"event":"client-added","channel":"private-{topic}","data":{data}}}"#)
}
