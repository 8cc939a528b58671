//! Whether the demo is served.

use serde::{Deserialize, Serialize};

/// The demo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoConfig {
    /// Whether `/demo` is served.
    pub enabled: DemoEnabled,
}

/// When the demo is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DemoEnabled {
    /// When the hub listens on a loopback address and signs tokens with a secret of its own.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Default for DemoConfig {
    fn default() -> Self {
        Self { enabled: DemoEnabled::Auto }
    }
}

impl DemoConfig {
    /// Whether the demo is served by a hub that can, or cannot, sign visitors in.
    pub fn is_on(&self, can_sign_in: bool) -> bool {
        match self.enabled {
            DemoEnabled::Auto => can_sign_in,
            DemoEnabled::On => true,
            DemoEnabled::Off => false,
        }
    }
}
