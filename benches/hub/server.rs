//! A process under measurement, on core 0.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::candidate::{Candidate, Program};
use crate::load::{nats, pusher};
use crate::programs;
use crate::tokens::{Keys, Signature};

/// What the hub is told so that its limits are not what is measured.
const LIMITS: [&str; 6] = [
    "server.workers=1",
    "limits.frames_per_minute_max=10000000",
    "limits.connections_per_user_max=100000",
    "limits.sessions_per_user_max=100000",
    "limits.auths_per_minute_max=0",
    "retention.owed_events_max=1000000",
];

const MOSQUITTO: &str = "allow_anonymous true\nlog_dest none\nset_tcp_nodelay true\nuser root\n\
    persistence true\nautosave_interval 1800\nmax_inflight_messages 256\nmax_queued_messages 0\n";

pub(crate) struct Server {
    pub(crate) candidate: Candidate,
    pub(crate) port: u16,
    child: Child,
    keys: Keys,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx has a child, which ends with it only when it is asked.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(&pid).stderr(Stdio::null()).status();
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) || children(self.child.id()).is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub(crate) async fn start(candidate: Candidate) -> Self {
        Self::start_with(candidate, Signature::Hs256).await
    }

    /// Starts it in a new folder beside the target folder: a real disk, not a memory file system.
    pub(crate) async fn start_with(candidate: Candidate, signature: Signature) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let keys = Keys::new(folder.path(), signature);
        let port = free_port();
        let mut command = command(candidate, port, &folder, &keys);
        let child = command
            .current_dir(folder.path())
            .env("NODE_ENV", "production")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("errors")).unwrap())
            .spawn()
            .unwrap();
        let mut server = Self { candidate, port, child, keys, folder };
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if server.child.try_wait().unwrap().is_some() {
                panic!("{} did not start: {}", candidate.name(), server.errors());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if matches!(candidate.program(), Program::Nats(Some(_))) {
            nats::make_stream(port).await;
        }
        server
    }

    /// What it has complained about.
    pub(crate) fn errors(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default();
        text.lines().take(5).collect::<Vec<_>>().join("\n")
    }

    /// CPU time of every thread so far.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks: u64 = self.processes().iter().map(|&pid| ticks(pid)).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let pages = |pid: &u32| {
            let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
            statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
        };
        self.processes().iter().map(pages).sum::<u64>() * 4096
    }

    fn processes(&self) -> Vec<u32> {
        let mut all = children(self.child.id());
        all.push(self.child.id());
        all
    }

    pub(crate) fn token(&self, user: &str, scopes: &[staffetta::auth::Scope]) -> String {
        self.keys.token(user, scopes)
    }
}

/// CPU time of this process so far.
pub(crate) fn load_cpu() -> Duration {
    Duration::from_millis(ticks(std::process::id()) * 10)
}

fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// How a candidate is started: on core 0, in its folder, to listen on this port.
fn command(candidate: Candidate, port: u16, folder: &TempDir, keys: &Keys) -> Command {
    let port_text = port.to_string();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let pinned = |program: &str, args: &[&str]| {
        let mut command = Command::new("taskset");
        command.args(["-c", "0", program]).args(args);
        command
    };
    let place = programs::path(candidate.program());
    match candidate.program() {
        Program::Hub => {
            let mut command = pinned(&place, &["serve", "--listen", &format!("127.0.0.1:{port}")]);
            let limits = LIMITS.iter().map(|&limit| limit.to_owned());
            for setting in limits.chain(keys.setting()).chain(tried()) {
                command.args(["--set", &setting]);
            }
            command.env("STAFFETTA_LOG", "error");
            command
        }
        Program::Life(life) => pinned(&place, &[life, &port_text, &keys.file()]),
        Program::Node(file, mode) => {
            pinned(&place, &[&programs::peer(file), &port_text, &keys.file(), mode])
        }
        Program::Socketioxide => pinned(&place, &[&port_text]),
        Program::Sockudo => {
            let mut command = pinned(&place, &[]);
            command.envs(sockudo(&port_text));
            command
        }
        Program::Nginx => {
            write("nginx.conf", &nginx(port));
            let prefix = folder.path().to_string_lossy().into_owned();
            pinned(&place, &["-p", &prefix, "-c", "nginx.conf", "-e", "errors"])
        }
        Program::Mosquitto => {
            write("mosquitto.conf", &format!("listener {port} 127.0.0.1\n{MOSQUITTO}"));
            pinned(&place, &["-c", "mosquitto.conf"])
        }
        Program::Nats(stream) => {
            let stream = stream.map(|set| format!("jetstream {{ store_dir: stream\n{set}\n}}\n"));
            let text = format!(
                "listen: 127.0.0.1:{port}\nlog_file: errors\nmax_connections: 100000\n\
                 ping_interval: \"10m\"\n{}",
                stream.unwrap_or_default()
            );
            write("nats.conf", &text);
            pinned(&place, &["-c", "nats.conf"])
        }
    }
}

/// Settings that are tried, of `SET`: `SET="database.group_max=64 log.level=info"`.
fn tried() -> Vec<String> {
    let set = std::env::var("SET").unwrap_or_default();
    set.split_whitespace().map(str::to_owned).collect()
}

fn nginx(port: u16) -> String {
    format!(
        "load_module {};\ndaemon off;\nuser root;\nworker_processes 1;\npid nginx.pid;\n\
         worker_rlimit_nofile 20000;\nevents {{ worker_connections 19500; }}\n\
         http {{\n access_log off;\n nchan_shared_memory_size 512M;\n client_body_temp_path body;\n\
         proxy_temp_path proxy;\n fastcgi_temp_path fastcgi;\n uwsgi_temp_path uwsgi;\n\
         scgi_temp_path scgi;\n keepalive_requests 100000000;\n tcp_nodelay on;\n\
         server {{\n listen 127.0.0.1:{port} backlog=4096;\n\
         location ~ ^/pub/(.+)$ {{ nchan_publisher http; nchan_channel_id $1; \
         nchan_message_buffer_length 1000; nchan_message_timeout 60s; }}\n\
         location ~ ^/sub/(.+)$ {{ nchan_subscriber websocket; nchan_channel_id $1; \
         nchan_subscriber_first_message newest; }}\n }}\n}}\n",
        programs::NCHAN
    )
}

fn sockudo(port: &str) -> Vec<(&'static str, &str)> {
    const MANY: &str = "1000000000";
    vec![
        ("PORT", port),
        ("HOST", "127.0.0.1"),
        ("DEBUG_MODE", "false"),
        ("RUST_LOG", "error"),
        ("ADAPTER_DRIVER", "local"),
        ("CACHE_DRIVER", "memory"),
        ("QUEUE_DRIVER", "memory"),
        ("RATE_LIMITER_ENABLED", "false"),
        ("METRICS_ENABLED", "false"),
        ("SOCKUDO_DEFAULT_APP_ID", pusher::APP),
        ("SOCKUDO_DEFAULT_APP_KEY", pusher::KEY),
        ("SOCKUDO_DEFAULT_APP_SECRET", pusher::SECRET),
        ("SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS", "100000"),
        ("SOCKUDO_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SECOND", MANY),
        ("SOCKUDO_ENABLE_CLIENT_MESSAGES", "true"),
    ]
}
