//! Makes the faults that were planned, and mends what they broke.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::proxy::Proxy;
use crate::schedule::{Cut, Engine, Fault, Planned, Round};
use crate::world::{Node, World};

/// What comes between two rounds; now and then too short to recover.
const PAUSE: Duration = Duration::from_millis(700);

/// Makes the faults of a round; when this returns everything is there again, if not yet well.
pub(crate) async fn perform(world: &Arc<World>, round: Round) {
    join_all(round.into_iter().map(|planned| make(world, planned))).await;
    sleep(PAUSE).await;
}

async fn make(world: &World, Planned { after, lasts, fault }: Planned) {
    sleep(after).await;
    match fault {
        Fault::Kill { node } => {
            let mut node = world.nodes[node].process.lock().await;
            node.kill();
            sleep(lasts).await;
            node.start_again().await;
        }
        Fault::Hang { node } => {
            let node = world.nodes[node].process.lock().await;
            node.signal(rustix::process::Signal::STOP);
            sleep(lasts).await;
            node.signal(rustix::process::Signal::CONT);
        }
        Fault::Restart(Engine::Nats) => {
            let mut nats = world.nats.lock().await;
            nats.stop();
            sleep(lasts).await;
            nats.restart().await;
        }
        Fault::Restart(Engine::Postgres) => {
            let mut postgres = world.postgres.lock().await;
            postgres.stop_at_once();
            sleep(lasts).await;
            postgres.start_again().await;
        }
        Fault::CutOff { node, engine, cut } => {
            let node = &world.nodes[node];
            let _turn = node.cuts.lock().await;
            let proxy = proxy(node, engine);
            match cut {
                Cut::Refused => proxy.refuse(),
                Cut::HungThenLate | Cut::HungThenEnded => proxy.hang(),
            }
            sleep(lasts).await;
            if cut == Cut::HungThenEnded {
                proxy.end_all();
            }
            proxy.pass();
        }
        Fault::Freeze(engine) => {
            let mut turns = Vec::new();
            for node in &world.nodes {
                turns.push(node.cuts.lock().await);
            }
            world.nodes.iter().for_each(|node| proxy(node, engine).hang());
            sleep(lasts).await;
            world.nodes.iter().for_each(|node| proxy(node, engine).pass());
            drop(turns);
        }
        Fault::Rolling => {
            for node in &world.nodes {
                let mut node = node.process.lock().await;
                node.terminate().await;
                sleep(lasts).await;
                node.start_again().await;
            }
        }
    }
}

fn proxy(node: &Node, engine: Engine) -> &Proxy {
    match engine {
        Engine::Nats => &node.to_nats,
        Engine::Postgres => &node.to_postgres,
    }
}
