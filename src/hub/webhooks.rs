//! How the hub's webhooks hang together with delivery and with commands.

use std::sync::Arc;

use crate::auth::AuthSetupError;
use crate::commands::CommandHandler;
use crate::config::WebhooksConfig;
use crate::delivery::notices::Notices;
use crate::metrics::Metrics;
use crate::persistence::messages::DeadLetterPort;
use crate::protocol::HubEventKinds;
use crate::webhooks::{EventListener, Webhooks, WebhooksParts};

/// Starts the webhooks, and says where delivery tells of what the webhooks or the host's listener
/// want to know.
pub(super) fn start(
    config: &WebhooksConfig,
    listener: Option<EventListener>,
    dead_letters: DeadLetterPort,
    metrics: &Metrics,
) -> Result<(Notices, Webhooks), AuthSetupError> {
    let kinds = match &listener {
        Some(_) => HubEventKinds::all(),
        None => config.posted_events(),
    };
    let (notices, told) = if kinds.is_empty() {
        (Notices::nobody(metrics.clone()), None)
    } else {
        let (notices, told) = Notices::new(kinds, metrics.clone());
        (notices, Some(told))
    };
    let metrics = metrics.clone();
    let parts = WebhooksParts { dead_letters, notices: told, listener, metrics };
    Ok((notices, Webhooks::start(config, parts)?))
}

/// The webhook as the one who obeys commands, if it is set.
pub(super) fn commands(webhooks: &Webhooks) -> Option<Arc<dyn CommandHandler>> {
    webhooks.takes_commands().then(|| Arc::new(webhooks.clone()) as Arc<dyn CommandHandler>)
}
