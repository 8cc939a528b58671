//! The log: to standard error, as text or as JSON lines, with a level that may change.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{OnceLock, PoisonError, RwLock};

use env_logger::fmt::Formatter;
use log::kv::{Key, Value, VisitSource};
use log::{Log, Metadata, Record};
use serde::Serialize;
use staffetta::config::{LogConfig, LogFormat};
use staffetta::http::request_id;

static LOGGER: OnceLock<Exchangeable> = OnceLock::new();

/// A logger that may be exchanged for another.
struct Exchangeable(RwLock<env_logger::Logger>);

impl Log for Exchangeable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.read().unwrap_or_else(PoisonError::into_inner).log(record);
    }

    fn flush(&self) {
        self.0.read().unwrap_or_else(PoisonError::into_inner).flush();
    }
}

/// Logs as configured from now on; called again, with the new level.
pub(crate) fn set(config: &LogConfig) {
    let logger = build(config);
    let level = logger.filter();
    match LOGGER.get() {
        Some(used) => *used.0.write().unwrap_or_else(PoisonError::into_inner) = logger,
        None => {
            let used = LOGGER.get_or_init(|| Exchangeable(RwLock::new(logger)));
            // Nobody else in this program sets one.
            let _ = log::set_logger(used);
        }
    }
    log::set_max_level(level);
}

fn build(config: &LogConfig) -> env_logger::Logger {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(&config.level);
    match config.format {
        LogFormat::Text => builder.format_timestamp_millis(),
        LogFormat::Json => builder.format(write_json),
    };
    builder.build()
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'a str,
    target: &'a str,
    message: String,
    #[serde(flatten)]
    fields: BTreeMap<String, String>,
}

/// The fields of a record.
#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        self.0.insert(key.to_string(), value.to_string());
        Ok(())
    }
}

fn write_json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut fields = Fields::default();
    fields.0.extend(request_id().map(|id| ("request_id".to_owned(), id)));
    // What cannot be read is left out.
    let _ = record.key_values().visit(&mut fields);
    let line = Line {
        time: out.timestamp_millis().to_string(),
        level: record.level().as_str(),
        target: record.target(),
        message: record.args().to_string(),
        fields: fields.0,
    };
    serde_json::to_writer(&mut *out, &line)?;
    writeln!(out)
}
