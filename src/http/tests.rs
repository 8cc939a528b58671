//! The API on a probe: every answer and every refusal, without a socket or a database.

mod probe;
mod publishing;
mod reading;
mod refusals;
mod world;
