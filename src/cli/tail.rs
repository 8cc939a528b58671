//! `staffetta tail`: a real client of `/ws` that prints and acks.
//!
//! [`follower`] decides what a frame means; this file has the socket and the clock.

mod follower;
mod state;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use staffetta::backoff::Backoff;
use staffetta::config::Config;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use self::follower::{Ending, Follower, Step};
use self::state::StateFile;
use super::credentials::{self, NoSecret};
use super::{complain, print};

/// Silence for this long means that nobody is there: the hub pings every 25 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// How often a sign of life is asked for.
const PING_EVERY: Duration = Duration::from_secs(20);

/// The longest first pause before coming back.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause before coming back.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A connection that lasted this long, or brought something new, was good: the backoff starts over.
const GOOD_AFTER: Duration = Duration::from_secs(5);

/// How long a token it signs is good for.
const TOKEN_TTL: Duration = Duration::from_secs(3_600);

const EXAMPLES: &str = "Examples:
  staffetta tail --user alice
  staffetta tail --user alice --no-ack                   leave every event unacked
  staffetta tail --user alice --offline full_sync        be told to do a full sync after an absence

Events go to standard output, one JSON object per line; everything else to standard error: of events
that arrive again the first is named, the others are counted. The session's name is kept in the state
file, so that the next start is the same device; it may print again what was not acked before. Two at
once with one file are one device: the second takes the place of the first.";

/// What `tail` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TailArgs {
    /// Whose events.
    #[arg(long, value_name = "SUB")]
    user: String,
    /// A token; without one, a token is signed with the hub's own secret.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The hub: ws://, wss://, http:// or https:// [default: the configured server.listen].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where the session's name is kept [default: ~/.local/state/staffetta/tail-USER.json].
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// What becomes of events published while it is away: replay, full_sync.
    #[arg(long, value_name = "POLICY", default_value = "replay", value_parser = ["replay", "full_sync"])]
    offline: String,
    /// Acks nothing; an event is printed each time it comes.
    #[arg(long)]
    no_ack: bool,
    /// Waits this long before each ack, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    ack_delay_ms: u64,
    /// Ends after this many events.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// What comes of one connection.
enum Next {
    ComeBack { after: Option<Duration> },
    Done,
}

/// Follows until it is done or must not come back.
pub(super) async fn run(args: TailArgs, config: &Config) -> Result<(), Box<dyn Error>> {
    let state = StateFile::open(args.state.clone(), &args.user)?;
    let mut follower = Follower::new(state.session(), &args.offline, !args.no_ack, args.count);
    let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    let url = match &args.url {
        Some(url) => socket_url(url)?,
        None => format!("ws://{}/ws", config.server.listen),
    };
    loop {
        let token = match &args.token {
            Some(token) => token.clone(),
            None => {
                let (ttl, no_secret) = (TOKEN_TTL, NoSecret::Fail { instead: "--token" });
                credentials::token(config, &args.user, &[], ttl, no_secret)?
            }
        };
        let started = Instant::now();
        let next = tokio::select! {
            next = follow(&url, &token, &args, &mut follower, &state) => next,
            _ = tokio::signal::ctrl_c() => Ok(Next::Done),
        };
        if let Some(line) = follower.repeats() {
            complain(&line);
        }
        let Next::ComeBack { after } = next? else { return Ok(()) };
        if started.elapsed() >= GOOD_AFTER || follower.was_useful() {
            backoff.reset();
        }
        let pause = after.unwrap_or_else(|| backoff.next(random()));
        complain(&format!("coming back in {:.1} s", pause.as_secs_f64()));
        tokio::select! {
            () = sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// The address of a socket; that of a hub for HTTP means the same.
fn socket_url(url: &str) -> Result<String, String> {
    match url.split_once("://") {
        Some(("ws" | "wss", _)) => Ok(url.to_owned()),
        Some(("http", rest)) => Ok(format!("ws://{rest}")),
        Some(("https", rest)) => Ok(format!("wss://{rest}")),
        Some(_) | None => Err(format!("{url}: must start with ws://, wss://, http:// or https://")),
    }
}

/// Evenly spread over 0 to 1.
fn random() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128() as u32;
    f64::from(bits) / f64::from(u32::MAX)
}

async fn follow(
    url: &str,
    token: &str,
    args: &TailArgs,
    follower: &mut Follower,
    state: &StateFile,
) -> Result<Next, Box<dyn Error>> {
    follower.connecting();
    let mut socket = match tokio_tungstenite::connect_async(url).await {
        Ok((socket, _)) => socket,
        // It will be as wrong the next time.
        Err(WsError::Url(error)) => return Err(format!("{url}: {error}").into()),
        Err(error) => {
            complain(&format!("{url}: {error}"));
            return Ok(Next::ComeBack { after: None });
        }
    };
    send(&mut socket, follower.auth(token)).await;
    let mut heard_at = Instant::now();
    let mut ping_at = heard_at + PING_EVERY;
    loop {
        match timeout_at(ping_at, socket.next()).await {
            Err(_) if heard_at.elapsed() > SILENCE_MAX => {
                complain("the hub is silent");
                return Ok(Next::ComeBack { after: None });
            }
            Err(_) => {
                ping_at = Instant::now() + PING_EVERY;
                send(&mut socket, r#"{"type":"ping"}"#.to_owned()).await;
            }
            Ok(Some(Ok(Message::Text(text)))) => {
                heard_at = Instant::now();
                if let Some(next) = take(&mut socket, &text, args, follower, state).await? {
                    return Ok(next);
                }
            }
            Ok(Some(Ok(Message::Close(frame)))) => return ended(frame, args, follower),
            Ok(Some(Ok(_))) => heard_at = Instant::now(),
            Ok(gone @ (Some(Err(_)) | None)) => {
                let reason = gone.and_then(Result::err).map(|error| format!(": {error}"));
                complain(&format!("the connection is gone{}", reason.unwrap_or_default()));
                return Ok(Next::ComeBack { after: follower.reconnect_after() });
            }
        }
    }
}

/// Sends a frame. Where that fails the connection is at its end, and reading goes on up to there: it may
/// have a reason, and say whether to come back.
async fn send(socket: &mut Socket, frame: String) {
    let _ = socket.send(Message::text(frame)).await;
}

/// Does what a frame asks for.
async fn take(
    socket: &mut Socket,
    text: &str,
    args: &TailArgs,
    follower: &mut Follower,
    state: &StateFile,
) -> Result<Option<Next>, Box<dyn Error>> {
    for step in follower.take(text) {
        match step {
            Step::Print(line) => print(&line),
            Step::Note(line) => complain(&line),
            Step::Keep(session) => state.keep(&session)?,
            Step::Send(frame) => {
                if args.ack_delay_ms > 0 {
                    sleep(Duration::from_millis(args.ack_delay_ms)).await;
                }
                send(socket, frame).await;
            }
            Step::Done => {
                // The last ack must be out before the socket goes.
                let _ = socket.close(None).await;
                while let Some(Ok(_)) = socket.next().await {}
                return Ok(Some(Next::Done));
            }
        }
    }
    Ok(None)
}

fn ended(
    frame: Option<CloseFrame>,
    args: &TailArgs,
    follower: &Follower,
) -> Result<Next, Box<dyn Error>> {
    let code = frame.as_ref().map_or(1005, |frame| u16::from(frame.code));
    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
    complain(&format!("closed: {code} {reason}"));
    match follower.ending(code) {
        Ending::ComeBack => Ok(Next::ComeBack { after: follower.reconnect_after() }),
        Ending::FreshToken if args.token.is_none() && follower.was_attached() => {
            Ok(Next::ComeBack { after: None })
        }
        Ending::FreshToken => Err("the hub refuses the token".into()),
        Ending::Stay => Err(format!("not coming back: {reason}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_publish_takes_is_good_for_tail() {
        assert_eq!(socket_url("https://hub/x").unwrap(), "wss://hub/x");
        assert_eq!(socket_url("http://127.0.0.1:3000").unwrap(), "ws://127.0.0.1:3000");
        assert_eq!(socket_url("ws://127.0.0.1:3000/ws").unwrap(), "ws://127.0.0.1:3000/ws");
        assert!(socket_url("127.0.0.1:3000").is_err());
    }
}
