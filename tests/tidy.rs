//! The house rules a machine can check: layers, file sizes, first lines.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines before the tests of a file, at most.
const LINES_MAX: usize = 400;

/// Which words a part of the source must not mention: the layers of ARCHITECTURE.md.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("src/protocol/", &["actix", "diesel", "jsonwebtoken", "tokio", "crate::clock"]),
    ("src/dialect/", &["actix", "diesel", "jsonwebtoken", "tokio", "crate::clock", "rand"]),
    ("src/delivery/window.rs", PURE),
    ("src/delivery/retry.rs", PURE),
    ("src/delivery/session.rs", PURE),
    ("src/delivery/user.rs", PURE),
    ("src/delivery/trace.rs", PURE),
    ("src/delivery/closes.rs", PURE),
    ("src/delivery/latency.rs", PURE),
    ("src/delivery/tail.rs", PURE),
    ("src/delivery/output.rs", PURE),
    ("src/delivery/pending", PURE),
    ("src/notes/", PURE),
    ("src/notes/", &["tokio", "actix", "jsonwebtoken", "crate::persistence"]),
    ("src/registry/checks.rs", PURE),
    ("src/registry/presence.rs", PURE),
    ("src/registry/sessions.rs", PURE),
    ("src/backoff.rs", PURE),
    ("src/webhooks/attempts.rs", PURE),
    ("src/webhooks/sign.rs", PURE),
    ("src/gate/", PURE),
    ("src/gate/", &["actix", "tokio", "diesel"]),
    ("src/ws/heartbeat.rs", PURE),
    ("src/ws/rate.rs", PURE),
    ("src/delivery/", &["diesel::", "jsonwebtoken", "actix_web"]),
    ("src/commands.rs", &["use actix", "diesel::", "jsonwebtoken", "tokio"]),
    ("src/registry/", &["diesel::", "jsonwebtoken", "actix_web_actors"]),
    ("src/ws/", &["diesel::", "jsonwebtoken"]),
    ("src/push/pauses.rs", PURE),
    ("src/push/", &["diesel::", "jsonwebtoken", "actix_web", "::actor"]),
    ("src/webhooks/", &["diesel::", "jsonwebtoken", "actix_web", "::actor"]),
    ("src/socketio/", &["diesel::", "jsonwebtoken", "::actor"]),
    ("src/socketio/beats.rs", PURE),
    ("src/http/", &["diesel::", "jsonwebtoken", "actix_web_actors", "::actor"]),
    ("src/auth/", &["diesel::", "actix_web_actors"]),
    ("src/config/", &["diesel::", "actix_web_actors", "jsonwebtoken", "std::env"]),
    ("src/persistence/", &["jsonwebtoken", "actix_web"]),
    ("src/cluster/", &["diesel::", "jsonwebtoken", "actix_web", "::actor"]),
    ("src/cluster/ownership.rs", PURE),
    ("src/cluster/packet.rs", PURE),
    ("src/cluster/envelope", PURE),
    ("src/cluster/wire", PURE),
    ("src/cluster/view.rs", PURE),
];

/// A pure file decides; it reads no clock, draws nothing at random, and knows no actor.
const PURE: &[&str] =
    &["use actix", "diesel::", "clock::now()", "clock::wall()", "getrandom", "now_v7"];

/// Words that belong to a few parts, with those parts: cryptography, and clients of HTTP.
const ONLY: &[(&str, &[&str])] = &[
    ("aws_lc_rs", &["src/auth/", "src/server/tls.rs", "src/webhooks/sign.rs"]),
    ("async_nats", &["src/cluster/nats.rs"]),
    (
        "ureq::",
        &[
            "src/auth/jwks.rs",
            "src/cli/",
            "src/config/webhooks.rs",
            "src/config/push.rs",
            "src/push/post.rs",
            "src/webhooks/post.rs",
        ],
    ),
];

/// Only these may name a concrete actor of another part.
const ROOTS: &[&str] = &["src/hub", "src/server.rs", "src/main.rs"];

#[test]
fn every_file_keeps_the_house_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut complaints = Vec::new();
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.len() > 30, "only {} files found", files.len());
    for file in files {
        let name = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        complain(&name, &text, &mut complaints);
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn complain(name: &str, text: &str, complaints: &mut Vec<String>) {
    if !text.starts_with("//!") {
        complaints.push(format!("{name}: the first line does not say what the file is for (//!)"));
    }
    let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().count();
    if lines > LINES_MAX && !is_test {
        complaints.push(format!("{name}: {lines} lines before its tests, {LINES_MAX} are allowed"));
    }
    if is_test {
        return;
    }
    for (prefix, words) in FORBIDDEN.iter().filter(|(prefix, _)| name.starts_with(prefix)) {
        for word in words.iter().filter(|word| mentions(code, word)) {
            complaints.push(format!("{name}: mentions `{word}`, which {prefix} may not"));
        }
    }
    for (word, parts) in ONLY {
        let is_theirs = parts.iter().any(|part| name.starts_with(part));
        if !is_theirs && mentions(code, word) {
            complaints.push(format!("{name}: mentions `{word}`, which is for {parts:?} only"));
        }
    }
    let is_root = ROOTS.iter().any(|root| name.starts_with(root));
    for part in ["delivery", "registry", "persistence"] {
        let path = format!("crate::{part}::actor");
        if !is_root && !name.starts_with(&format!("src/{part}/")) && mentions(code, &path) {
            complaints.push(format!("{name}: names an actor (`{path}`); only the root may"));
        }
    }
}

/// Whether code, comments apart, holds `word`.
fn mentions(code: &str, word: &str) -> bool {
    code.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| line.contains(word))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn a_planted_offence_is_noticed() {
    let mut complaints = Vec::new();
    complain("src/protocol/x.rs", "use diesel::prelude::*;\n", &mut complaints);
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    complaints.clear();
    let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX + 1));
    complain("src/http/x.rs", &long, &mut complaints);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
}
