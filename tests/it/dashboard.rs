//! The dashboard in `docs/grafana.json` asks for nothing the hub does not export.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::device::Device;
use crate::world::{Database, TestHub, eventually};

/// The names of metrics in a query.
fn names(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("staffetta_"))
}

/// The queries of every panel.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "expr" || name == "query") {
                    Some(query) => found.push(query.to_owned()),
                    None => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The series a metric of this name and type has.
fn series(name: &str, kind: &str) -> Vec<String> {
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_count", "_sum"],
        "info" => &["_info"],
        _ => &[""],
    };
    suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
}

#[test]
fn every_metric_of_the_dashboard_is_exported_and_has_a_unit_or_is_a_count() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let hub = TestHub::start(Database::Sqlite, |_| {}).await;
        let (mut device, _) = Device::replaying(&hub, "alice", "tab").await;
        hub.publish("alice", "added", json!({})).await;
        device.acked(1).await;
        eventually("the ack is counted", || async {
            hub.hub.metrics().text().contains("staffetta_publish_acked_seconds_count 1\n")
        })
        .await;
        // Those of a cluster are shown where there is one.
        let _ = hub.hub.metrics().cluster();
        let text = hub.hub.metrics().text();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let exported: BTreeSet<String> = types
            .filter_map(|line| line.split_once(' '))
            .flat_map(|(name, kind)| series(name, kind))
            .collect();
        let dashboard: Value =
            serde_json::from_str(include_str!("../../docs/grafana.json")).unwrap();
        let mut asked = Vec::new();
        queries(&dashboard, &mut asked);
        let asked: BTreeSet<&str> = asked.iter().flat_map(|query| names(query)).collect();
        assert!(asked.len() > 15, "{asked:?}");
        for name in asked {
            assert!(exported.contains(name), "{name} is not exported: {exported:?}");
        }
        // https://prometheus.io/docs/practices/naming: base units only.
        for name in &exported {
            assert!(!name.contains("_ms") && !name.contains("milli"), "{name}");
        }
    });
}
