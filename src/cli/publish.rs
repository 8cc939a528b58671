//! `staffetta publish`: one event over HTTP.

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use staffetta::UserId;
use staffetta::auth::Scope;
use staffetta::config::Config;

use super::credentials::{self, NoSecret};
use super::print;

const EXAMPLES: &str = "Examples:
  staffetta publish alice added '{\"id\":\"photo-1\"}'
  staffetta publish alice added @photo.json --wait-acked 5000
  echo '{\"text\":\"hi\"}' | staffetta publish alice note -";

/// How long the hub may take to answer, beyond what it is asked to wait.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// What `publish` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PublishArgs {
    /// Whose devices get it.
    #[arg(value_name = "USER")]
    user: String,
    /// The event's type.
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its data: JSON, @FILE, or - for standard input.
    #[arg(value_name = "DATA")]
    data: Option<String>,
    /// The hub: http:// or https:// [default: the configured server.listen].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// An API key; without one, a token is signed with the hub's own secret.
    #[arg(long, value_name = "KEY", env = "STAFFETTA_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// The event's name: publish again with the same one, and it is recognised.
    #[arg(long, value_name = "UUID")]
    event_id: Option<String>,
    /// For how long it may be delivered, in milliseconds.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    ttl_ms: Option<u64>,
    /// For live sessions only: never stored.
    #[arg(long)]
    ephemeral: bool,
    /// The session that must not get it.
    #[arg(long, value_name = "SESSION")]
    exclude_session: Option<String>,
    /// Waits until every live session acked, at most this long; more than the hub's
    /// `publish.wait_ms_max` (60,000 unless set) is refused.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    wait_acked: Option<u64>,
}

/// Publishes, and prints what the hub answers.
pub(super) fn run(args: PublishArgs, config: &Config) -> Result<(), Box<dyn Error>> {
    // An empty name would make another path, where there is nothing.
    UserId::new(&args.user).map_err(|error| format!("the user {error}"))?;
    let bearer = match args.api_key.as_ref().filter(|key| !key.is_empty()) {
        Some(key) => key.clone(),
        None => {
            let ttl = Duration::from_secs(300);
            let no_secret = NoSecret::Fail { instead: "--api-key" };
            credentials::token(config, "staffetta-publish", &[Scope::Publish], ttl, no_secret)?
        }
    };
    let base = args.url.clone().unwrap_or_else(|| format!("http://{}", config.server.listen));
    if !base.starts_with("http://") && !base.starts_with("https://") {
        return Err(format!("{base}: must start with http:// or https://").into());
    }
    let mut url =
        format!("{}/api/v1/users/{}/events", base.trim_end_matches('/'), encoded(&args.user));
    let mut timeout = ANSWER_WAIT;
    if let Some(wait_ms) = args.wait_acked {
        url.push_str(&format!("?wait=acked&timeout_ms={wait_ms}"));
        timeout += Duration::from_millis(wait_ms);
    }
    let body = body(&args)?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .build()
        .into();
    let mut response = agent
        .post(&url)
        .header("Authorization", format!("Bearer {bearer}"))
        .header("Content-Type", "application/json")
        .send(&body)
        .map_err(|error| format!("{base}: {error}"))?;
    let text = response.body_mut().read_to_string()?;
    if !response.status().is_success() {
        return Err(refusal(response.status().as_u16(), &text).into());
    }
    print(&text);
    Ok(())
}

/// The request's body; data goes in as the text that was given.
fn body(args: &PublishArgs) -> Result<String, Box<dyn Error>> {
    let mut fields = Map::new();
    fields.insert("type".to_owned(), json!(args.kind));
    for (name, value) in [
        ("event_id", args.event_id.as_ref().map(|id| json!(id))),
        ("ttl_ms", args.ttl_ms.map(|ms| json!(ms))),
        ("ephemeral", args.ephemeral.then_some(json!(true))),
        ("exclude_session", args.exclude_session.as_ref().map(|session| json!(session))),
    ] {
        fields.extend(value.map(|value| (name.to_owned(), value)));
    }
    let mut body = Value::Object(fields).to_string();
    if let Some(data) = &args.data {
        let data = RawValue::from_string(read(data)?)
            .map_err(|error| format!("DATA is not JSON: {error}"))?;
        body.pop();
        body.push_str(&format!(",\"data\":{data}}}"));
    }
    Ok(body)
}

fn read(data: &str) -> Result<String, Box<dyn Error>> {
    if data == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    match data.strip_prefix('@') {
        Some(path) => {
            Ok(std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?)
        }
        None => Ok(data.to_owned()),
    }
}

fn refusal(status: u16, text: &str) -> String {
    let problem: Option<Value> = serde_json::from_str(text).ok();
    let field = |name: &str| problem.as_ref()?.get(name)?.as_str().map(str::to_owned);
    match (field("title"), field("detail")) {
        (Some(title), Some(detail)) => format!("the hub answered {status}: {title}: {detail}"),
        _ => format!("the hub answered {status}: {text}"),
    }
}

/// A name as part of a path (RFC 3986, 2.1).
fn encoded(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_encoded_for_a_path() {
        assert_eq!(encoded("zoë/a b"), "zo%C3%AB%2Fa%20b");
    }

    #[test]
    fn a_problem_is_said_in_its_own_words() {
        let text = r#"{"title":"Conflict","detail":"used","status":409}"#;
        assert_eq!(refusal(409, text), "the hub answered 409: Conflict: used");
        assert_eq!(refusal(502, "bad gateway"), "the hub answered 502: bad gateway");
    }
}
