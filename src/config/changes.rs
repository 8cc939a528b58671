//! What differs between two configurations, and what of it holds without a restart.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::Config;

/// Settings that are read again while the hub runs.
const RELOADED: [(&str, &str); 7] = [
    ("auth", "api_keys"),
    ("limits", "auths_per_minute_max"),
    ("limits", "connections_per_address_max"),
    ("limits", "handshakes_per_minute_max"),
    ("limits", "publishes_per_second_max"),
    ("log", "level"),
    ("server", "allowed_origins"),
];

/// The names of settings that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that hold at once.
    pub at_once: Vec<String>,
    /// Those that hold after the next start.
    pub after_restart: Vec<String>,
}

impl Config {
    /// What differs in `other`.
    pub fn changes(&self, other: &Config) -> Changes {
        let (ours, theirs) = (table(self), table(other));
        let mut changes = Changes::default();
        for section in keys(&ours, &theirs) {
            let empty = Table::new();
            let of = |table: &'_ Table| {
                table.get(&section).and_then(Value::as_table).unwrap_or(&empty).clone()
            };
            let (ours, theirs) = (of(&ours), of(&theirs));
            for key in keys(&ours, &theirs) {
                if ours.get(&key) == theirs.get(&key) {
                    continue;
                }
                let name = format!("{section}.{key}");
                match RELOADED.contains(&(section.as_str(), key.as_str())) {
                    true => changes.at_once.push(name),
                    false => changes.after_restart.push(name),
                }
            }
        }
        changes
    }

    /// These settings, with those of `other` that hold without a restart.
    #[must_use]
    pub fn with_reloaded(&self, other: &Config) -> Config {
        let mut config = self.clone();
        config.auth.api_keys.clone_from(&other.auth.api_keys);
        config.limits.auths_per_minute_max = other.limits.auths_per_minute_max;
        config.limits.connections_per_address_max = other.limits.connections_per_address_max;
        config.limits.handshakes_per_minute_max = other.limits.handshakes_per_minute_max;
        config.limits.publishes_per_second_max = other.limits.publishes_per_second_max;
        config.log.level.clone_from(&other.log.level);
        config.server.allowed_origins.clone_from(&other.server.allowed_origins);
        config
    }
}

fn table(config: &Config) -> Table {
    Table::try_from(config).unwrap_or_default()
}

fn keys(ours: &Table, theirs: &Table) -> BTreeSet<String> {
    ours.keys().chain(theirs.keys()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named_by_when_it_holds() {
        let mut other = Config::default();
        assert_eq!(Config::default().changes(&other), Changes::default());
        other.server.allowed_origins.push("https://app.example".to_owned());
        other.limits.publishes_per_second_max = 7;
        other.log.level = "debug".to_owned();
        other.auth.issuer = Some("someone".to_owned());
        other.delivery.tick_ms = 7;
        let changes = Config::default().changes(&other);
        let at_once = ["limits.publishes_per_second_max", "log.level", "server.allowed_origins"];
        assert_eq!(changes.at_once, at_once);
        assert_eq!(changes.after_restart, ["auth.issuer", "delivery.tick_ms"]);
        let reloaded = Config::default().with_reloaded(&other);
        let left = reloaded.changes(&other);
        assert_eq!((left.at_once, left.after_restart), (vec![], changes.after_restart));
    }

    #[test]
    fn every_setting_that_is_reloaded_exists() {
        let defaults = table(&Config::default());
        for (section, key) in RELOADED {
            assert!(defaults.get(section).and_then(|keys| keys.get(key)).is_some(), "{key}");
        }
    }
}
