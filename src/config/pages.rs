//! What is served beside devices and publishers: pages, and the calls of administrators.

use serde::{Deserialize, Serialize};

/// The demo.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoConfig {
    /// Whether `/demo` is served. `auto`: when the hub listens on a loopback address and signs
    /// tokens with a secret of its own.
    pub enabled: PageEnabled,
}

/// The console.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Whether `/console` is served. `auto`: when the hub listens on a loopback address.
    pub enabled: PageEnabled,
}

/// The calls of the API that need the scope `admin`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Whether they are answered. `auto`: when the hub listens on a loopback address, when the console
    /// is on, or when an API key has the scope `admin`.
    pub enabled: PageEnabled,
}

/// When a page, or what is like one, is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageEnabled {
    /// When it is safe to: each says what that is.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl PageEnabled {
    /// Whether it is served where it is safe, or not, to serve it unasked.
    pub fn is_on(self, is_safe: bool) -> bool {
        match self {
            Self::Auto => is_safe,
            Self::On => true,
            Self::Off => false,
        }
    }
}
