//! The API on a probe: every answer and every refusal, without a socket or a database.

mod administering;
mod dead_letters;
mod one_note;
mod probe;
mod publishing;
mod reading;
mod refusals;
mod world;
