//! Who is measured: the hub in its dialects, its limits, and its peers.

use crate::load::wire::Wire;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Candidate {
    Plain,
    PlainStored,
    Reliable,
    HubSocketIo,
    Raw,
    RawLong,
    RawCoalescing,
    RawDurable,
    Actix,
    ActixStored,
    UWebSockets,
    Ws,
    SocketIo,
    SocketIoRecovery,
    Socketioxide,
    Sockudo,
    Nchan,
    Mosquitto,
    Nats,
    JetStream,
    JetStreamSync,
    Literal,
}

use Candidate::{
    Actix, ActixStored, HubSocketIo, JetStream, JetStreamSync, Literal, Mosquitto, Nats, Nchan,
    Plain, PlainStored, Raw, RawCoalescing, RawDurable, RawLong, Reliable, SocketIo,
    SocketIoRecovery, Socketioxide, Sockudo, UWebSockets, Ws,
};

/// All of them, in the order of the tables.
pub(crate) const ALL: [Candidate; 22] = [
    Plain,
    PlainStored,
    Reliable,
    HubSocketIo,
    Raw,
    RawLong,
    RawCoalescing,
    RawDurable,
    Actix,
    ActixStored,
    UWebSockets,
    Ws,
    SocketIo,
    SocketIoRecovery,
    Socketioxide,
    Sockudo,
    Nchan,
    Mosquitto,
    Nats,
    JetStream,
    JetStreamSync,
    Literal,
];

/// The work of a program of ours, or of others: what starts it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Hub,
    /// This program in another of its lives.
    Life(&'static str),
    /// A file of `benches/peers`, and its second argument.
    Node(&'static str, &'static str),
    Socketioxide,
    Sockudo,
    Nginx,
    Mosquitto,
    /// What follows `jetstream` in its settings.
    Nats(Option<&'static str>),
}

impl Candidate {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Plain => "Staffetta, plain",
            PlainStored => "Staffetta, plain, stored",
            Reliable => "Staffetta, reliable",
            HubSocketIo => "Staffetta, Socket.IO",
            Raw => "raw write loop",
            RawLong => "raw write loop, as long as `/ws`",
            RawCoalescing => "raw write loop, coalescing",
            RawDurable => "raw commit and write loop",
            Actix => "bare actix-web",
            ActixStored => "bare actix-web, stored",
            UWebSockets => "uWebSockets",
            Ws => "ws",
            SocketIo => "socket.io",
            SocketIoRecovery => "socket.io, recovery",
            Socketioxide => "socketioxide",
            Sockudo => "sockudo",
            Nchan => "nchan",
            Mosquitto => "mosquitto",
            Nats => "NATS",
            JetStream => "JetStream",
            JetStreamSync => "JetStream, sync always",
            Literal => "literal design",
        }
    }

    /// What it promises and how it is set, for the list above the tables.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Plain => {
                "`/ws`, plain sessions, ephemeral events: nothing stored, nothing acked; one worker"
            }
            PlainStored => "the same, each event committed with FULL before it is sent",
            Reliable => {
                "`/ws`, each event committed with FULL first, each session acks; one worker"
            }
            HubSocketIo => "Socket.IO over WebSocket, nothing stored, nothing acked; one worker",
            Raw => "one write per frame and connection",
            RawLong => "the same, each frame as long as the hub's is, which names the event",
            RawCoalescing => "one write per connection for all frames there are for it",
            RawDurable => {
                "what waits is appended to SQLite with FULL by one thread (no index, the journal never \
                 copied), one write per frame and session by another, acks read and forgotten"
            }
            Actix => {
                "an actor of actix-web-actors for each connection, one look at a token of each and of \
                 each publish, HTTP publisher; one worker"
            }
            ActixStored => {
                "the same; what waits is appended to SQLite with FULL by one thread (no index, the \
                 journal never copied) before the actors have it; acks read and forgotten"
            }
            UWebSockets => "topics, no compression, no pings; one thread of Node",
            Ws => "a loop over the topic's sockets, no compression, `bufferutil`",
            SocketIo => {
                "WebSocket only, in-memory adapter, no compression, `bufferutil`, \
                         first request forgotten; rooms"
            }
            SocketIoRecovery => "the same with connection state recovery of two minutes",
            Socketioxide => {
                "local adapter, rooms, 4,096 packets per connection, on axum, one thread, built as \
                             the hub is"
            }
            Sockudo => {
                "local adapter, private channels and client events, no metrics, no rate limits"
            }
            Nchan => "one worker, WebSocket subscribers, HTTP publisher, no access log",
            Mosquitto => {
                "QoS 1 both ways, persistent sessions, persistence on (written every 30 \
                          minutes), no limits to queues, TCP_NODELAY, no log"
            }
            Nats => "core, no persistence, no log",
            JetStream => {
                "a stream in files, a durable push consumer per session, explicit acks; \
                          synced every 2 minutes"
            }
            JetStreamSync => "the same with `sync_interval: always`",
            Literal => {
                "a row per event and session, each publish and each ack a transaction with \
                        FULL, a look through all rows every 3 s"
            }
        }
    }

    pub(crate) fn program(self) -> Program {
        match self {
            Plain | PlainStored | Reliable | HubSocketIo => Program::Hub,
            Raw => Program::Life("raw"),
            RawLong => Program::Life("raw-long"),
            RawCoalescing => Program::Life("raw-coalescing"),
            RawDurable => Program::Life("raw-durable"),
            Actix => Program::Life("actix"),
            ActixStored => Program::Life("actix-stored"),
            Literal => Program::Life("literal"),
            UWebSockets => Program::Node("uwebsockets.js", ""),
            Ws => Program::Node("ws.js", ""),
            SocketIo => Program::Node("socketio.js", ""),
            SocketIoRecovery => Program::Node("socketio.js", "recovery"),
            Socketioxide => Program::Socketioxide,
            Sockudo => Program::Sockudo,
            Nchan => Program::Nginx,
            Mosquitto => Program::Mosquitto,
            Nats => Program::Nats(None),
            JetStream => Program::Nats(Some("")),
            JetStreamSync => Program::Nats(Some("sync_interval: always")),
        }
    }

    pub(crate) fn wire(self) -> Wire {
        match self {
            Plain | PlainStored => Wire::Native,
            Reliable => Wire::NativeAcked,
            HubSocketIo | SocketIo | SocketIoRecovery | Socketioxide => Wire::SocketIo,
            Raw | RawLong | RawCoalescing | Actix | UWebSockets | Ws => Wire::Words,
            Sockudo => Wire::Pusher,
            Nchan => Wire::Nchan,
            Mosquitto => Wire::Mqtt,
            Nats => Wire::Nats,
            JetStream | JetStreamSync => Wire::JetStream,
            RawDurable | ActixStored | Literal => Wire::WordsAcked,
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        self.program() == Program::Hub
    }

    /// Whether the hub stores what is published.
    pub(crate) fn stores(self) -> bool {
        matches!(self, PlainStored | Reliable)
    }

    /// Whether it is a limit of events that are stored and acked, and there for nothing else.
    pub(crate) fn is_durable_only(self) -> bool {
        matches!(self, RawDurable | ActixStored)
    }

    /// Whether what a session misses while it is away comes when it is back.
    pub(crate) fn replays(self) -> bool {
        matches!(self, Reliable | Mosquitto | JetStream | JetStreamSync)
    }

    /// Whether it checks the token of each connection.
    pub(crate) fn checks_tokens(self) -> bool {
        self.is_ours() || matches!(self, Raw | RawLong | Actix | UWebSockets | Ws | SocketIo)
    }

    /// Connections of publishers that publish at a rate: one answers a request after the other.
    pub(crate) fn publishers(self) -> usize {
        if self.is_ours() || matches!(self, Actix | Nchan) { 32 } else { 1 }
    }
}
