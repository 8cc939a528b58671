//! A NATS server of a test's own, on a free port.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) struct Nats {
    server: PathBuf,
    child: Option<Child>,
    pub(crate) port: u16,
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that is free now; nothing else here asks for one.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The server's program, if it is installed.
pub(crate) fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("nats-server")).find(|program| program.is_file())
}

impl Nats {
    pub(crate) async fn start(server: PathBuf) -> Self {
        let mut nats = Self { server, child: None, port: free_port() };
        nats.restart().await;
        nats
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) async fn restart(&mut self) {
        self.stop();
        let child = Command::new(&self.server)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "NATS does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
