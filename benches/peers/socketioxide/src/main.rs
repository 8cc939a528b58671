//! A socketioxide server the hub is measured beside: `sub` joins a room, `pub` sends the event
//! `added` to one, `pub_acked` the same and answers when everybody there has acked it.
//!
//! Its argument is its port. One thread, as one core is all it gets.

use std::net::Ipv4Addr;

use axum::Router;
use futures_util::StreamExt;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::net::TcpListener;

/// Packets waiting for one connection; beyond, they are lost. By default that is less than the load has
/// on its way.
const PACKETS_MAX: usize = 4_096;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let port = std::env::args().nth(1).ok_or("a port is wanted")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(port))
}

async fn serve(port: u16) -> Result<(), Failure> {
    let (layer, io) = SocketIo::builder().max_buffer_size(PACKETS_MAX).build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("sub", async |socket: SocketRef, Data(topic): Data<String>, ack: AckSender| {
            socket.join(topic);
            let _ = ack.send(&());
        });
        socket.on("pub", async |io: SocketIo, Data((topic, data)): Data<(String, Value)>| {
            let _ = io.to(topic).emit("added", &data).await;
        });
        socket.on("pub_acked", publish_acked);
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    axum::serve(listener, Router::new().layer(layer)).await?;
    Ok(())
}

async fn publish_acked(io: SocketIo, Data((topic, data)): Data<(String, Value)>, ack: AckSender) {
    if let Ok(acks) = io.to(topic).emit_with_ack::<_, Value>("added", &data).await {
        acks.for_each(async |_| {}).await;
    }
    let _ = ack.send(&());
}
