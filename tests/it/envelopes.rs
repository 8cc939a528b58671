//! Signed envelopes on a live connection, as the notes client sends them.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use staffetta::clock;
use tokio_tungstenite::tungstenite::Message;

use crate::device::Device;
use crate::world::{TestHub, on_both};

/// Puts the text of a frame into an envelope; `nonce` is any text.
fn signed(payload: &str, secret: &str, nonce: &str) -> Message {
    let at = clock::wall().0;
    let text = format!(r#"{{"payload":{payload},"timestamp":{at},"nonce":"{nonce}"}}"#);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    Message::text(format!(
        r#"{{"payload":{payload},"signature":"{signature}","timestamp":{at},"nonce":"{nonce}"}}"#
    ))
}

/// Connects as a plain session; says the device and its secret.
async fn plain(hub: &TestHub, user: &str) -> (Device, String) {
    let mut device = Device::connect(hub).await;
    device.send(json!({"type": "auth", "token": hub.token(user)})).await;
    let secret = device.next().await["sessionSecret"].as_str().unwrap().to_owned();
    (device, secret)
}

async fn answer(device: &mut Device, frame: Message) -> Value {
    device.send_raw(frame).await;
    device.next().await
}

#[test]
fn a_frame_in_an_envelope_is_obeyed_once_and_only_as_it_was_signed() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let (mut device, secret) = plain(&hub, "alice").await;
        let (mut bob, others) = plain(&hub, "bob").await;
        let odd = r#"{"type":"ping", "n":1.50, "t":"\u00e9\/é"}"#;
        assert_eq!(answer(&mut device, signed(odd, &secret, "a")).await["type"], "pong");
        for refused in [
            signed(odd, &secret, "a"),
            signed(odd, &others, "b"),
            Message::text(signed(odd, &secret, "c").to_text().unwrap().replace("1.50", "1.5")),
        ] {
            let error = answer(&mut device, refused).await;
            assert_eq!(error["message"], "Message authentication failed");
        }
        // A nonce is used up by whoever may sign it, and for that user only.
        assert_eq!(answer(&mut bob, signed(odd, &others, "a")).await["type"], "pong");
        assert_eq!(answer(&mut device, signed(odd, &secret, "c")).await["type"], "pong");
    });
}

#[test]
fn an_auth_signed_with_the_key_of_another_connection_is_taken_on_its_token_however_often() {
    on_both(|database| async move {
        let hub = TestHub::start(database, |_| {}).await;
        let mut device = Device::connect(&hub).await;
        let auth = json!({"type": "auth", "token": hub.token("alice")}).to_string();
        for nonce in ["a", "b"] {
            let answer = answer(&mut device, signed(&auth, "an old key", nonce)).await;
            assert_eq!(answer["type"], "auth_success", "{answer}");
        }
        let error = answer(&mut device, signed(r#"{"type":"ping"}"#, "an old key", "c")).await;
        assert_eq!(error["message"], "Message authentication failed");
    });
}
