//! What this program is besides the load: the limits, and the literal design.

pub(crate) mod actix;
pub(crate) mod computing;
pub(crate) mod durable;
pub(crate) mod literal;
pub(crate) mod raw;
pub(crate) mod sqlite;
pub(crate) mod upgrade;
