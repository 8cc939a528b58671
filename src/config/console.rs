//! Whether the console is served.

use serde::{Deserialize, Serialize};

/// The console.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Whether `/console` is served.
    pub enabled: ConsoleEnabled,
}

/// When the console is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleEnabled {
    /// When the hub listens on a loopback address.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self { enabled: ConsoleEnabled::Auto }
    }
}

impl ConsoleConfig {
    /// Whether the console is served by a hub that listens, or does not, on a loopback address.
    pub fn is_on(&self, is_loopback: bool) -> bool {
        match self.enabled {
            ConsoleEnabled::Auto => is_loopback,
            ConsoleEnabled::On => true,
            ConsoleEnabled::Off => false,
        }
    }
}
