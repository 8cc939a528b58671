//! Web push: when sleeping devices are woken, and by whom.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Web push. Off unless there is a `contact`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushConfig {
    /// Whom push services write to about this hub: `mailto:` or `https:`.
    pub contact: Option<String>,
    /// The key devices register for; made on first start.
    pub key_file: PathBuf,
    /// A device without a connection is woken when an event has waited this long, in milliseconds.
    pub after_ms: u64,
    /// How long a push service may keep trying to reach the device, in seconds.
    pub ttl_s: u64,
    /// How long a push service may take to answer, in milliseconds.
    pub timeout_ms: u64,
    /// Push services devices may register: hosts, with `*.` for any below, or whole origins.
    pub services: Vec<String>,
}

impl Default for PushConfig {
    fn default() -> Self {
        let services = [
            "fcm.googleapis.com",
            "updates.push.services.mozilla.com",
            "web.push.apple.com",
            "*.notify.windows.com",
        ];
        Self {
            contact: None,
            key_file: PathBuf::from("staffetta.vapid"),
            after_ms: 60_000,
            ttl_s: 86_400,
            timeout_ms: 10_000,
            services: services.map(str::to_owned).to_vec(),
        }
    }
}

impl PushConfig {
    /// The origin of an endpoint if its push service is one of `services`.
    pub fn origin_of(&self, endpoint: &str) -> Option<String> {
        let url: ureq::http::Uri = endpoint.parse().ok()?;
        let (scheme, authority) = (url.scheme_str()?, url.authority()?);
        if authority.as_str().contains('@') {
            return None;
        }
        let origin = format!("{scheme}://{authority}");
        let host = authority.as_str();
        let is_known = self.services.iter().any(|service| match service.strip_prefix("*.") {
            _ if service.contains("://") => *service == origin,
            Some(parent) => {
                scheme == "https"
                    && host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
            }
            None => scheme == "https" && host == service,
        });
        is_known.then_some(origin)
    }

    /// What is wrong with the contact.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let contact = self.contact.as_deref()?;
        let is_fit = contact.starts_with("mailto:") || contact.starts_with("https://");
        (!is_fit).then_some("must start with mailto: or https://")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_endpoints_of_known_push_services_are_taken() {
        let mut config = PushConfig::default();
        config.services.push("http://127.0.0.1:9000".to_owned());
        let origin = |endpoint: &str| config.origin_of(endpoint);
        let fcm = "https://fcm.googleapis.com/fcm/send/abc";
        assert_eq!(origin(fcm).as_deref(), Some("https://fcm.googleapis.com"));
        assert!(origin("https://db5p.notify.windows.com/w/?token=a").is_some());
        assert!(origin("http://127.0.0.1:9000/wake").is_some());
        for endpoint in [
            "http://fcm.googleapis.com/x",
            "https://fcm.googleapis.com.evil.test/x",
            "https://fcm.googleapis.com@evil.test/x",
            "https://fcm.googleapis.com:8443/x",
            "https://notify.windows.com/x",
            "https://evilnotify.windows.com/x",
            "http://127.0.0.1:9001/wake",
            "https://169.254.169.254/latest",
            "/relative",
            "",
        ] {
            assert_eq!(origin(endpoint), None, "{endpoint}");
        }
    }
}
