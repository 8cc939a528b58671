//! Sleeping devices are woken, once, by a push service of this machine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use staffetta::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::device::Device;
use crate::world::{Stop, TestHub, eventually, on_both};

/// A push service: it notes each request's head, and answers 201, or as told.
#[derive(Clone, Default)]
struct PushService {
    heads: Arc<Mutex<Vec<String>>>,
    came_at: Arc<Mutex<Vec<Instant>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl PushService {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let service = Self::default();
        let served = service.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    let mut part = [0; 1024];
                    let read = socket.read(&mut part).await.unwrap();
                    request.extend_from_slice(&part[..read]);
                }
                let status = served.answers.lock().unwrap().pop_front().unwrap_or(201);
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nRetry-After: 2\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n"
                );
                socket.write_all(answer.as_bytes()).await.unwrap();
                served.came_at.lock().unwrap().push(clock::now());
                served.heads.lock().unwrap().push(String::from_utf8(request).unwrap());
            }
        });
        (service, origin)
    }

    fn wakes(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    async fn wait_for(&self, wakes: usize) {
        eventually("the device is woken", || async { self.wakes() >= wakes }).await;
        assert_eq!(self.wakes(), wakes);
    }
}

/// Asks as a device of `user`; says the status.
async fn ask(hub: &TestHub, user: &str, method: &str, body: Option<Value>) -> u16 {
    let (path, token) = ("/api/v1/sessions/phone/push", hub.token(user));
    let body = body.map(|body| body.to_string());
    hub.call_as(Some(&token), method, path, body.as_deref(), &[]).await.status
}

async fn hub_with(database: crate::world::Database, origin: &str) -> TestHub {
    TestHub::start(database, |config| {
        config.push.contact = Some("mailto:ops@example.org".to_owned());
        config.push.key_file = config.auth.secret_file.with_file_name("key.vapid");
        config.push.after_ms = 200;
        config.push.services = vec![origin.to_owned()];
    })
    .await
}

#[test]
fn a_device_that_sleeps_is_woken_once_until_it_is_back() {
    on_both(|database| async move {
        let (service, origin) = PushService::start().await;
        let hub = hub_with(database, &origin).await;
        let (device, _) = Device::replaying(&hub, "alice", "phone").await;
        let body = Some(json!({"endpoint": format!("{origin}/wake/1"), "expirationTime": null}));
        eventually("the session is durable", || async {
            ask(&hub, "alice", "POST", body.clone()).await == 204
        })
        .await;
        device.cut();
        hub.wait_for_live("alice", 0).await;
        hub.publish("alice", "added", json!({})).await;
        service.wait_for(1).await;
        let head = service.heads.lock().unwrap()[0].to_lowercase();
        assert!(head.starts_with("post /wake/1 http/1.1\r\n"), "{head}");
        for header in ["authorization: vapid t=", "ttl: 86400\r\n", "content-length: 0\r\n"] {
            assert!(head.contains(header), "{header}: {head}");
        }
        // Neither more events nor a restart wake it again.
        hub.publish("alice", "added", json!({})).await;
        let hub = hub.restart(Stop::Drain).await;
        hub.publish("bob", "added", json!({})).await;
        let (mut device, _) = Device::replaying(&hub, "alice", "phone").await;
        device.acked(1).await;
        device.acked(2).await;
        hub.wait_for_floor("phone", 2).await;
        assert_eq!(service.wakes(), 1);
        device.cut();
        hub.wait_for_live("alice", 0).await;
        hub.publish("alice", "added", json!({})).await;
        service.wait_for(2).await;
    });
}

#[test]
fn a_push_service_that_knows_a_device_no_more_is_asked_no_more() {
    on_both(|database| async move {
        let (service, origin) = PushService::start().await;
        // Once it cannot, for the two seconds it says, then it says that the device is gone.
        service.answers.lock().unwrap().extend([429, 410]);
        let hub = hub_with(database, &origin).await;
        let (device, _) = Device::replaying(&hub, "alice", "phone").await;
        let body = Some(json!({"endpoint": format!("{origin}/wake/1")}));
        eventually("the session is durable", || async {
            ask(&hub, "alice", "POST", body.clone()).await == 204
        })
        .await;
        device.cut();
        hub.wait_for_live("alice", 0).await;
        hub.publish("alice", "added", json!({})).await;
        eventually("it is forgotten", || async {
            service.wakes() == 2 && ask(&hub, "alice", "DELETE", None).await == 404
        })
        .await;
        let came_at = service.came_at.lock().unwrap().clone();
        assert!(came_at[1] - came_at[0] >= Duration::from_secs(2), "it was left alone");
        let metrics = hub.hub.metrics().text();
        for (outcome, count) in [("sent", 0), ("failed", 1), ("gone", 1)] {
            let line = format!("staffetta_pushes_total{{outcome=\"{outcome}\"}} {count}\n");
            assert!(metrics.contains(&line), "{line}");
        }
    });
}

#[test]
fn only_a_sessions_own_user_registers_it_and_only_with_a_known_service() {
    on_both(|database| async move {
        let (_, origin) = PushService::start().await;
        let hub = hub_with(database, &origin).await;
        let (_device, _) = Device::replaying(&hub, "alice", "phone").await;
        let register = async |user: &str, endpoint: &str| {
            ask(&hub, user, "POST", Some(json!({"endpoint": endpoint}))).await
        };
        let known = format!("{origin}/wake");
        eventually("the session is durable", || async { register("alice", &known).await == 204 })
            .await;
        assert_eq!(register("mallory", &known).await, 404);
        assert_eq!(register("alice", "https://elsewhere.test/wake").await, 422);
        assert_eq!(register("alice", "nonsense").await, 422);
        let token = hub.token("alice");
        let key = hub.call_as(Some(&token), "GET", "/api/v1/push/key", None, &[]).await;
        assert_eq!(key.body["key"].as_str().unwrap().len(), 87);
        let off = TestHub::start(database, |_| {}).await;
        let token = off.token("alice");
        let answer = off.call_as(Some(&token), "GET", "/api/v1/push/key", None, &[]).await;
        assert_eq!(answer.status, 404);
    });
}
