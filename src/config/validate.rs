//! Which values make sense: bounds of single settings, and settings that must fit one another.

use super::webhooks::is_http_url;
use super::{ClusterConfig, Config, KeyAlgorithm, KeyConfig, PushConfig};
use crate::auth::Scope;

/// Every problem of a configuration; `from` says where a setting came from, if it was given.
pub(super) fn problems(
    config: &Config,
    from: impl Fn(&str, &str) -> Option<String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let given = |section: &str, key: &str| {
        from(section, key).map(|origin| format!(" ({origin})")).unwrap_or_default()
    };
    let bounds = bounds(config)
        .into_iter()
        .chain(push_bounds(&config.push))
        .chain(cluster_bounds(&config.cluster));
    for (section, key, value, least, most) in bounds {
        if !(least..=most).contains(&value) {
            let origin = given(section, key);
            problems.push(format!("{section}.{key} = {value}{origin}: must be {least} to {most}"));
        }
    }
    for (lower, low, upper, high) in pairs(config) {
        if low > high {
            let (section, key) = lower.split_once('.').unwrap_or_default();
            let origin = given(section, key);
            problems.push(format!(
                "{lower} = {low}{origin}: must not be above {upper}, which is {high}"
            ));
        }
    }
    let url = &config.database.url;
    let is_known = url.strip_prefix("sqlite://").is_some_and(|path| !path.is_empty())
        || url.starts_with("postgres://")
        || url.starts_with("postgresql://");
    if !is_known {
        let origin = given("database", "url");
        problems.push(format!("database.url{origin}: must start with sqlite:// or postgres://"));
    }
    if config.auth.jwks_url.as_deref().is_some_and(|url| !is_http_url(url)) {
        let origin = given("auth", "jwks_url");
        problems.push(format!("auth.jwks_url{origin}: must be an http:// or https:// URL"));
    }
    for (key, problem) in config.webhooks.problems() {
        let origin = given("webhooks", key);
        problems.push(format!("webhooks.{key}{origin}: {problem}"));
    }
    for (key, problem) in config.server.problems() {
        let origin = given("server", key);
        problems.push(format!("server.{key}{origin}: {problem}"));
    }
    for (key, problem) in config.log.problems() {
        let origin = given("log", key);
        problems.push(format!("log.{key}{origin}: {problem}"));
    }
    if config.push.contact.is_some() && !config.cluster.databases.is_empty() {
        problems
            .push("push.contact: web push needs one database, not cluster.databases".to_owned());
    }
    if let Some(problem) = config.push.problem() {
        let origin = given("push", "contact");
        problems.push(format!("push.contact{origin}: {problem}"));
    }
    for (key, problem) in config.socketio.problems() {
        let origin = given("socketio", key);
        problems.push(format!("socketio.{key}{origin}: {problem}"));
    }
    for (key, problem) in config.cluster.problems(url) {
        let origin = given("cluster", key);
        problems.push(format!("cluster.{key}{origin}: {problem}"));
    }
    problems.extend(key_problems(config));
    problems
}

fn key_problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, key) in config.auth.keys.iter().enumerate() {
        problems.extend(key_problem(key).map(|p| format!("auth.keys[{index}]: {p}")));
    }
    for (index, key) in config.auth.api_keys.iter().enumerate() {
        let is_hash = key.sha256.len() == 64 && key.sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hash {
            let setting = format!("auth.api_keys[{index}].sha256");
            problems.push(format!("{setting}: must be 64 hexadecimal characters"));
        }
        if let Err(problem) = Scope::from_names(&key.scopes) {
            problems.push(format!("auth.api_keys[{index}].scopes: {problem}"));
        }
    }
    problems
}

const YEAR_S: u64 = 366 * 86_400;
const DAY_MS: u64 = 86_400_000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

type Bound = (&'static str, &'static str, u64, u64, u64);

/// Section, key, value, least, most.
fn bounds(config: &Config) -> Vec<Bound> {
    let Config { server, database, auth, delivery, retention, .. } = config;
    let mut bounds = vec![
        ("server", "workers", server.workers as u64, 0, 1_024),
        ("server", "connections_max", server.connections_max as u64, 1, 10_000_000),
        ("server", "drain_ms", server.drain_ms, 0, 60_000),
        ("server", "body_bytes_max", server.body_bytes_max as u64, 1_024, GIB),
        // actix looks at its clock twice a second: shorter ones would end at once, or never.
        ("server", "head_timeout_ms", server.head_timeout_ms, 1_000, 600_000),
        ("server", "body_timeout_ms", server.body_timeout_ms, 10, 3_600_000),
        ("server", "keep_alive_ms", server.keep_alive_ms, 1_000, 3_600_000),
        ("database", "readers", u64::from(database.readers), 1, 256),
        ("database", "busy_timeout_ms", database.busy_timeout_ms, 100, 600_000),
        ("database", "group_max", database.group_max as u64, 1, 10_000),
        ("database", "queue_max", database.queue_max as u64, 1, 10_000_000),
        ("auth", "leeway_s", auth.leeway_s, 0, 600),
        ("auth", "connection_max_age_s", auth.connection_max_age_s, 1, YEAR_S),
        ("auth", "failures_free", u64::from(auth.failures_free), 0, 1_000_000),
        ("auth", "failure_pause_max_s", auth.failure_pause_max_s, 1, 3_600),
        ("delivery", "ack_wait_ms", delivery.ack_wait_ms, 1, DAY_MS),
        ("delivery", "redeliveries_max", u64::from(delivery.redeliveries_max), 0, 1_000_000),
        ("delivery", "in_flight_max", delivery.in_flight_max as u64, 1, 65_536),
        ("delivery", "in_flight_bytes_max", delivery.in_flight_bytes_max as u64, 1_024, GIB),
        ("delivery", "tick_ms", delivery.tick_ms, 1, 10_000),
        ("delivery", "floor_flush_ms", delivery.floor_flush_ms, 1, 60_000),
        ("delivery", "threads", delivery.threads as u64, 0, 256),
        ("delivery", "users_cached_max", delivery.users_cached_max as u64, 1, 100_000_000),
        ("delivery", "traces_max", delivery.traces_max as u64, 0, 100_000_000),
        ("retention", "events_age_s", retention.events_age_s, 1, 100 * YEAR_S),
        ("retention", "owed_events_max", retention.owed_events_max, 1, 1_000_000_000),
        ("retention", "sessions_age_s", retention.sessions_age_s, 1, 100 * YEAR_S),
        ("retention", "tombstones_age_s", retention.tombstones_age_s, 1, 100 * YEAR_S),
        ("retention", "dead_letters_age_s", retention.dead_letters_age_s, 1, 100 * YEAR_S),
        ("retention", "prune_interval_ms", retention.prune_interval_ms, 10, DAY_MS),
        ("retention", "prune_step_max", u64::from(retention.prune_step_max), 1, 100_000),
    ];
    bounds.extend(bounds_of_clients(config));
    bounds
}

/// Those of what clients, publishers and webhooks may take.
fn bounds_of_clients(config: &Config) -> Vec<Bound> {
    let Config { limits, ws, publish, notes, socketio, webhooks, .. } = config;
    vec![
        ("limits", "message_bytes_max", limits.message_bytes_max as u64, 1_024, GIB),
        ("limits", "message_bytes_hard_max", limits.message_bytes_hard_max as u64, 1_024, GIB),
        ("limits", "frames_per_minute_max", u64::from(limits.frames_per_minute_max), 1, 10_000_000),
        ("limits", "signals_per_second_max", u64::from(limits.signals_per_second_max), 0, 100_000),
        ("limits", "rooms_per_connection_max", limits.rooms_per_connection_max as u64, 0, 100_000),
        (
            "limits",
            "connections_per_user_max",
            limits.connections_per_user_max as u64,
            1,
            10_000_000,
        ),
        (
            "limits",
            "connections_per_address_max",
            limits.connections_per_address_max as u64,
            0,
            10_000_000,
        ),
        (
            "limits",
            "handshakes_per_minute_max",
            u64::from(limits.handshakes_per_minute_max),
            0,
            10_000_000,
        ),
        ("limits", "auths_per_minute_max", u64::from(limits.auths_per_minute_max), 0, 10_000_000),
        (
            "limits",
            "publishes_per_second_max",
            u64::from(limits.publishes_per_second_max),
            0,
            10_000_000,
        ),
        ("limits", "sessions_per_user_max", limits.sessions_per_user_max as u64, 1, 1_000_000),
        ("limits", "outbox_bytes_max", limits.outbox_bytes_max as u64, 1_024, GIB),
        ("limits", "commands_in_flight_max", limits.commands_in_flight_max as u64, 1, 4_096),
        ("limits", "command_timeout_ms", limits.command_timeout_ms, 1, 3_600_000),
        ("ws", "auth_timeout_ms", ws.auth_timeout_ms, 10, DAY_MS),
        ("ws", "ping_interval_ms", ws.ping_interval_ms, 10, DAY_MS),
        ("ws", "pings_unanswered_max", u64::from(ws.pings_unanswered_max), 1, 1_000),
        ("ws", "close_grace_ms", ws.close_grace_ms, 10, 600_000),
        ("socketio", "ping_interval_ms", socketio.ping_interval_ms, 10, DAY_MS),
        ("socketio", "ping_timeout_ms", socketio.ping_timeout_ms, 10, DAY_MS),
        ("socketio", "max_payload", socketio.max_payload as u64, 1_024, GIB),
        ("publish", "data_bytes_max", publish.data_bytes_max as u64, 1, GIB),
        ("publish", "batch_events_max", publish.batch_events_max as u64, 1, 100_000),
        ("publish", "wait_ms_max", publish.wait_ms_max, 1, 3_600_000),
        ("notes", "note_bytes_max", notes.note_bytes_max as u64, 1_024, 64 * MIB),
        ("notes", "members_max", notes.members_max as u64, 0, 10_000),
        ("notes", "page_limit_max", notes.page_limit_max as u64, 1, 10_000),
        ("webhooks", "queue_max", webhooks.queue_max as u64, 1, 1_000_000),
        ("webhooks", "queue_bytes_max", webhooks.queue_bytes_max as u64, 1_024, GIB),
        ("webhooks", "concurrency", webhooks.concurrency as u64, 1, 256),
        ("webhooks", "timeout_ms", webhooks.timeout_ms, 10, 600_000),
        ("webhooks", "attempts_max", u64::from(webhooks.attempts_max), 1, 1_000),
        ("webhooks", "backoff_ms", webhooks.backoff_ms, 1, DAY_MS),
        ("webhooks", "backoff_ms_max", webhooks.backoff_ms_max, 1, DAY_MS),
        ("webhooks", "dead_letters_max", webhooks.dead_letters_max, 0, 10_000_000),
    ]
}

fn cluster_bounds(cluster: &ClusterConfig) -> [Bound; 3] {
    [
        ("cluster", "lease_ms", cluster.lease_ms, 300, 600_000),
        ("cluster", "renew_ms", cluster.renew_ms, 100, 200_000),
        ("cluster", "answer_wait_ms", cluster.answer_wait_ms, 100, 60_000),
    ]
}

fn push_bounds(push: &PushConfig) -> [Bound; 3] {
    [
        ("push", "after_ms", push.after_ms, 100, 7 * DAY_MS),
        ("push", "ttl_s", push.ttl_s, 0, 28 * 86_400),
        ("push", "timeout_ms", push.timeout_ms, 10, 600_000),
    ]
}

/// Settings that must not be above another.
fn pairs(config: &Config) -> Vec<(&'static str, u64, &'static str, u64)> {
    let Config { server, delivery, limits, publish, webhooks, cluster, .. } = config;
    vec![
        (
            "limits.message_bytes_max",
            limits.message_bytes_max as u64,
            "limits.message_bytes_hard_max",
            limits.message_bytes_hard_max as u64,
        ),
        (
            "delivery.in_flight_bytes_max",
            delivery.in_flight_bytes_max as u64,
            "limits.outbox_bytes_max",
            limits.outbox_bytes_max as u64,
        ),
        (
            "publish.data_bytes_max",
            publish.data_bytes_max as u64,
            "server.body_bytes_max",
            server.body_bytes_max as u64,
        ),
        (
            "webhooks.backoff_ms",
            webhooks.backoff_ms,
            "webhooks.backoff_ms_max",
            webhooks.backoff_ms_max,
        ),
        // A renewal may fail once, and the next is still in time.
        ("cluster.renew_ms", cluster.renew_ms, "a third of cluster.lease_ms", cluster.lease_ms / 3),
    ]
}

fn key_problem(key: &KeyConfig) -> Option<&'static str> {
    let is_symmetric = key.algorithm == KeyAlgorithm::HS256;
    match (&key.secret, &key.secret_file, &key.pem_file) {
        (Some(secret), None, None) if is_symmetric && secret.len() < 32 => {
            Some("secret has fewer than 32 bytes")
        }
        (Some(_), None, None) | (None, Some(_), None) if is_symmetric => None,
        (None, None, Some(_)) if !is_symmetric => None,
        _ if is_symmetric => Some("HS256 needs exactly one of secret and secret_file"),
        _ => Some("RS256, ES256 and EdDSA need pem_file, and nothing else"),
    }
}
