//! A wall clock that jumps forth and back. Deadlines do not follow it; tokens and ttls do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use staffetta::auth::{Scope, Secret, sign};
use staffetta::{UserId, clock};

use crate::hub::Extra;
use crate::life::{Life, call};
use crate::{run, scale};

/// The library that Debian's package `libfaketime` brings.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|library| library.exists())
}

fn set(clock: &Path, offset_s: i64) {
    let new = clock.with_extension("new");
    std::fs::write(&new, format!("{offset_s:+}")).unwrap();
    std::fs::rename(&new, clock).unwrap();
}

#[test]
fn a_clock_that_jumps_delays_no_delivery_and_moves_expiries() {
    let Some(library) = faketime() else {
        eprintln!("left out: a jumping clock needs libfaketime");
        return;
    };
    run(async {
        let life = Life::start(|folder| {
            set(&folder.join("clock"), 0);
            let environment = [
                ("LD_PRELOAD", library.display().to_string()),
                ("FAKETIME_TIMESTAMP_FILE", folder.join("clock").display().to_string()),
                ("FAKETIME_NO_CACHE", "1".to_owned()),
                ("DONT_FAKE_MONOTONIC", "1".to_owned()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ];
            let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
            Extra { settings: Vec::new(), environment }
        })
        .await;
        let clock = life.file("clock");
        let (secret, _) = Secret::load_or_create(&life.file("staffetta.secret")).unwrap();
        let app = UserId::new("app").unwrap();
        let ttl = Duration::from_secs(600);
        let short = sign(&secret, &app, &[Scope::Publish], ttl, clock::wall()).unwrap();

        let fades = json!({"type": "fades", "ttl_ms": 60_000});
        assert_eq!(life.post(&short, "reader", &fades).await.status, 201);
        assert_eq!(seen(&life).await, 1);
        for round in 0..2 * scale() {
            for (offset_s, status, seen_now) in [(3_600, 401, 0), (-3_600, 201, 1), (0, 201, 1)] {
                set(&clock, offset_s);
                let answer = life.post(&short, "probe", &json!({"type": "probe"})).await;
                assert_eq!(answer.status, status, "at {offset_s} s: {answer:?}");
                // Once its time was over it may be gone for good.
                assert!(seen(&life).await <= seen_now, "an expired event is shown");
                if round == 0 && offset_s == 3_600 {
                    assert_eq!(seen(&life).await, 0);
                }
                life.go_on(20).await;
            }
        }
        life.end("jumping clock").await;
    });
}

/// How many events the log shows to the user that the fading event is for.
async fn seen(life: &Life) -> usize {
    let token = life.process.token("reader", &[]);
    let answer = call(life.process.port, &token, "GET", "/api/v1/sync", String::new()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let page: Value = serde_json::from_str(&answer.text).unwrap();
    page["events"].as_array().unwrap().len()
}
