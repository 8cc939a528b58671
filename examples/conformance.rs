//! The hub that the official test suites of Engine.IO 4 and Socket.IO 5 are run against:
//! `/engine.io/` gives every message back, `/socket.io/` has the namespaces `/` and `/custom`.
//!
//! ```text
//! cargo run --example conformance -- 127.0.0.1:3000
//! ```

use std::error::Error;

use staffetta::auth::install_provider;
use staffetta::{Config, server};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    install_provider();
    let mut config = Config::default();
    if let Some(listen) = std::env::args().nth(1) {
        config.server.listen = listen.parse()?;
    }
    server::run_conformance(config).await?;
    Ok(())
}
