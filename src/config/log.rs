//! What is logged, and how it is spelled.

use serde::{Deserialize, Serialize};

/// What is logged, and how it is spelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A level, or several by module: `info,staffetta::ws=debug`.
    pub level: String,
    /// How a line is spelled.
    pub format: LogFormat,
}

/// How a line is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl LogConfig {
    /// What is wrong with it: which key, and how.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let is_level = |level: &str| level.parse::<::log::LevelFilter>().is_ok();
        let is_known = |part: &str| match part.trim().split_once('=') {
            Some((module, level)) => !module.is_empty() && is_level(level),
            None => is_level(part.trim()),
        };
        if self.level.split(',').all(is_known) {
            return Vec::new();
        }
        let levels = "must be off, error, warn, info, debug or trace, or several as module=level";
        vec![("level", format!("{:?} {levels}", self.level))]
    }
}
