//! What the pending-event table decides, situation by situation. Whatever may happen in any
//! order is the simulation's (tests/simulation).

mod acks;
mod audience;
mod memory;
mod offline;
mod publishing;
mod redelivery;
mod sessions;
mod store;
mod waiting;
mod watch;
mod window;
mod world;
