//! What stands between one node and one engine: it passes everything on, ends everything, or is
//! silent.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    Refuse,
    Hang,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// How often all connections were ended.
    ends: u64,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: watch::Sender<State>,
}

impl Proxy {
    /// Starts one towards a port of this machine.
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = watch::Sender::new(State { mode: Mode::Pass, ends: 0 });
        let known = state.subscribe();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => {
                        tokio::spawn(carry(client, target, known.clone()));
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Self { port, state }
    }

    /// Passes everything on, what waited first.
    pub(crate) fn pass(&self) {
        self.state.send_modify(|state| state.mode = Mode::Pass);
    }

    /// Ends all connections, and every new one.
    pub(crate) fn refuse(&self) {
        self.end_all();
        self.state.send_modify(|state| state.mode = Mode::Refuse);
    }

    /// Passes nothing on and says nothing; connections stay.
    pub(crate) fn hang(&self) {
        self.state.send_modify(|state| state.mode = Mode::Hang);
    }

    /// Ends all connections there are, and what waits in them.
    pub(crate) fn end_all(&self) {
        self.state.send_modify(|state| state.ends += 1);
    }
}

async fn carry(client: TcpStream, target: u16, mut state: watch::Receiver<State>) {
    let ends = state.borrow().ends;
    if !may_go_on(ends, &mut state).await || state.borrow().mode == Mode::Refuse {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, ends, state.clone()) => {}
        () = pump(from_server, to_client, ends, state.clone()) => {}
        () = ended(ends, state) => {}
    }
}

/// Waits while everything hangs; says whether the connection is still there then.
async fn may_go_on(ends: u64, state: &mut watch::Receiver<State>) -> bool {
    let seen = state.wait_for(|state| state.mode != Mode::Hang || state.ends > ends).await;
    seen.is_ok_and(|state| state.ends == ends)
}

async fn ended(ends: u64, mut state: watch::Receiver<State>) {
    let _ = state.wait_for(|state| state.ends > ends).await;
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    ends: u64,
    mut state: watch::Receiver<State>,
) {
    let mut bytes = vec![0; 16 * 1_024];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        // The end of a connection is not said either.
        if !may_go_on(ends, &mut state).await || count == 0 {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
