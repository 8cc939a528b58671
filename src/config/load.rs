//! Where settings come from: the file, then the environment, then flags. Later ones win.
//!
//! Every problem is found before the start, and said with its key, its value and where it came
//! from. Nothing here reads the environment itself.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::num::IntErrorKind;
use std::path::PathBuf;

use toml::{Table, Value};

use super::{Config, validate};

/// Names in the environment that are not spelled as settings are.
const NO_SETTINGS: [&str; 3] = ["STAFFETTA_API_KEY", "STAFFETTA_CONFIG", LOG_LEVEL];

/// The name in the environment that comes before every other `log.level`.
const LOG_LEVEL: &str = "STAFFETTA_LOG";

/// Settings that have no default, and so do not show in the defaults: each is a text.
const WITHOUT_DEFAULT: [(&str, &str); 13] = [
    ("auth", "jwks_file"),
    ("auth", "jwks_url"),
    ("auth", "issuer"),
    ("auth", "audience"),
    ("socketio", "reject"),
    ("socketio", "server_version"),
    ("webhooks", "commands_url"),
    ("webhooks", "events_url"),
    ("webhooks", "secret"),
    ("webhooks", "secret_file"),
    ("push", "contact"),
    ("cluster", "node"),
    ("cluster", "advertise"),
];

/// The setting without a default that is a table.
const TLS: (&str, &str) = ("server", "tls");

/// Settings whose values must not be printed.
const SECRET: [(&str, &str); 8] = [
    ("database", "url"),
    ("auth", "keys"),
    ("auth", "api_keys"),
    ("webhooks", "commands_url"),
    ("webhooks", "events_url"),
    ("webhooks", "secret"),
    ("cluster", "nats_url"),
    ("cluster", "databases"),
];

/// What there is to read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file's path and its text, if there is one.
    pub file: Option<(PathBuf, String)>,
    /// The environment; names that do not start with `STAFFETTA_` are passed over.
    pub environment: Vec<(String, String)>,
    /// Flags: a dotted key and its value.
    pub flags: Vec<(String, String)>,
}

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file.
    File(PathBuf),
    /// This name in the environment.
    Environment(String),
    /// A flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Environment(name) => write!(f, "{name} in the environment"),
            Origin::Flag => f.write_str("a flag"),
        }
    }
}

/// What is wrong with the configuration: every problem on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// A configuration, and what in it is not the default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// Each setting that is not at its default, with its value (secrets apart) and where it
    /// came from.
    pub given: Vec<(String, String, Origin)>,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Every problem found, each with its key, its value, its limit and where it came from.
    pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
        let mut layers = Layers::default();
        layers.read_file(sources);
        layers.read_environment(sources);
        layers.read_flags(sources);
        layers.read_log_level(sources);
        layers.finish()
    }
}

type Place = (String, String);

#[derive(Default)]
struct Layers {
    values: BTreeMap<Place, (Value, Origin)>,
    problems: Vec<String>,
}

impl Layers {
    fn read_file(&mut self, sources: &Sources) {
        let Some((path, text)) = &sources.file else { return };
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let error = error.to_string();
                self.problems.push(format!("{}: {}", path.display(), error.trim_end()));
                return;
            }
        };
        let origin = Origin::File(path.clone());
        for (section, keys) in table {
            match keys {
                Value::Table(keys) => {
                    for (key, value) in keys {
                        self.set(&section, &key, value, origin.clone());
                    }
                }
                _ => self.problems.push(format!("{section} ({origin}): every key is in a section")),
            }
        }
    }

    fn read_environment(&mut self, sources: &Sources) {
        for (name, value) in &sources.environment {
            let Some(rest) = name.strip_prefix("STAFFETTA_") else { continue };
            let is_no_setting = NO_SETTINGS.contains(&name.as_str()) || rest.starts_with("TEST_");
            if is_no_setting || is_service_link(name, value) {
                continue;
            }
            let origin = Origin::Environment(name.clone());
            let rest = rest.to_ascii_lowercase();
            match rest.split_once('_') {
                Some((section, key)) => self.set_text(section, key, value, origin),
                None => self.problems.push(unknown(&rest, &origin)),
            }
        }
    }

    fn read_flags(&mut self, sources: &Sources) {
        for (name, value) in &sources.flags {
            match name.split_once('.') {
                Some((section, key)) => self.set_text(section, key, value, Origin::Flag),
                None => self.problems.push(unknown(name, &Origin::Flag)),
            }
        }
    }

    fn read_log_level(&mut self, sources: &Sources) {
        let is_given = |(name, value): &&(String, String)| name == LOG_LEVEL && !value.is_empty();
        if let Some((name, level)) = sources.environment.iter().find(is_given) {
            self.set_text("log", "level", level, Origin::Environment(name.clone()));
        }
    }

    /// Sets a value that is spelled as text: numbers and texts as they are, the rest as TOML.
    fn set_text(&mut self, section: &str, key: &str, text: &str, origin: Origin) {
        let value = match known(section, key) {
            Some(Value::String(_)) => Value::String(text.to_owned()),
            _ => format!("value = {text}")
                .parse::<Table>()
                .ok()
                .and_then(|mut table| table.remove("value"))
                .unwrap_or_else(|| Value::String(text.to_owned())),
        };
        self.set(section, key, value, origin);
    }

    fn set(&mut self, section: &str, key: &str, value: Value, origin: Origin) {
        let Some(default) = known(section, key) else {
            self.problems.push(unknown(&format!("{section}.{key}"), &origin));
            return;
        };
        if std::mem::discriminant(&default) != std::mem::discriminant(&value) {
            let shown = shown(section, key, &value);
            let must = match (&default, &value) {
                (Value::Integer(_), Value::String(text)) if is_huge(text) => "is too large".into(),
                _ => format!("must be {}{}", article(&default), unit(key)),
            };
            self.problems.push(format!("{section}.{key} = {shown} ({origin}): {must}"));
            return;
        }
        self.values.insert((section.to_owned(), key.to_owned()), (value, origin));
    }

    fn finish(mut self) -> Result<Settings, ConfigError> {
        let mut table = Table::new();
        for ((section, key), (value, _)) in &self.values {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(key.clone(), value.clone());
            }
        }
        let config = self.read(table)?;
        let from = |section: &str, key: &str| {
            self.values
                .get(&(section.to_owned(), key.to_owned()))
                .map(|(_, origin)| origin.to_string())
        };
        self.problems.extend(validate::problems(&config, from));
        if !self.problems.is_empty() {
            return Err(ConfigError(self.problems));
        }
        let given = self
            .values
            .into_iter()
            .filter(|((section, key), (value, _))| known(section, key).as_ref() != Some(value))
            .map(|((section, key), (value, origin))| {
                let shown = shown(&section, &key, &value);
                (format!("{section}.{key}"), shown, origin)
            })
            .collect();
        Ok(Settings { config, given })
    }
}

impl Layers {
    /// Reads the values. One that cannot be read is a problem and stays at its default, so that
    /// the others are looked at all the same.
    fn read(&mut self, mut table: Table) -> Result<Config, ConfigError> {
        loop {
            let error = match table.clone().try_into::<Config>() {
                Ok(config) => return Ok(config),
                Err(error) => error,
            };
            let (section, key) = place(&error);
            self.problems.push(self.problem(&section, &key, &error));
            let keys = table.get_mut(&section).and_then(Value::as_table_mut);
            if keys.and_then(|keys| keys.remove(&key)).is_none() {
                return Err(ConfigError(mem::take(&mut self.problems)));
            }
        }
    }

    /// Says of a value that cannot be read which it is and where it came from.
    fn problem(&self, section: &str, key: &str, error: &toml::de::Error) -> String {
        match self.values.get(&(section.to_owned(), key.to_owned())) {
            Some((value, origin)) => {
                let shown = shown(section, key, value);
                let must = match (section, key, value) {
                    ("server", "listen", _) => "must be an IP address and a port: 127.0.0.1:3000",
                    (_, _, Value::Integer(..=-1)) => "must not be negative",
                    (_, _, Value::Integer(_)) => "is too large",
                    _ => error.message(),
                };
                format!("{section}.{key} = {shown} ({origin}): {must}")
            }
            None => error.to_string().trim().replace('\n', " "),
        }
    }
}

/// The section and the key an error speaks of.
fn place(error: &toml::de::Error) -> Place {
    let text = error.to_string();
    let name = text.rsplit('`').nth(1).unwrap_or_default();
    let (section, key) = name.split_once('.').unwrap_or_default();
    let key = key.split(['.', '[']).next().unwrap_or_default();
    (section.to_owned(), key.to_owned())
}

/// Whether Kubernetes put this into the environment, as it does in every pod beside a service named
/// `staffetta` or `staffetta-…`.
fn is_service_link(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP")))
        || (name.ends_with("_PORT") && value.contains("://"))
}

/// The default of a setting, which also tells its type.
fn known(section: &str, key: &str) -> Option<Value> {
    if WITHOUT_DEFAULT.contains(&(section, key)) {
        return Some(Value::String(String::new()));
    }
    if (section, key) == TLS {
        return Some(Value::Table(Table::new()));
    }
    defaults().get(section)?.get(key).cloned()
}

fn defaults() -> Table {
    Table::try_from(Config::default()).unwrap_or_default()
}

/// The shortest beginning of a key that tells which one was meant.
const BEGINNING_MIN: usize = 3;

/// Says that there is no setting of this name, and which one comes closest: one that begins so before
/// others. A name without a section is compared with the keys alone.
fn unknown(name: &str, origin: &Origin) -> String {
    let defaults = defaults();
    let with_default = defaults.iter().flat_map(|(section, keys)| {
        let keys = keys.as_table().into_iter().flat_map(Table::keys);
        keys.map(move |key| (section.as_str(), key.as_str()))
    });
    let mut closest: Option<((Reverse<bool>, usize), String)> = None;
    for (section, key) in with_default.chain(WITHOUT_DEFAULT) {
        let known = format!("{section}.{key}");
        let compared = if name.contains('.') { known.as_str() } else { key };
        let key_asked = name.rsplit('.').next().unwrap_or_default();
        let begins_so = key_asked.len() >= BEGINNING_MIN && compared.starts_with(name);
        let rank = (Reverse(begins_so), distance(name, compared));
        let is_close = begins_so || rank.1 <= compared.len() / 2;
        if is_close && closest.as_ref().is_none_or(|(least, _)| rank < *least) {
            closest = Some((rank, known));
        }
    }
    match closest {
        Some((_, known)) => format!("{name} ({origin}): unknown; did you mean {known}?"),
        None => format!("{name} ({origin}): unknown"),
    }
}

/// How many letters must change to make one name of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for ((y, &above), &before) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or(0);
            next.push((before + usize::from(x != *y)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

fn shown(section: &str, key: &str, value: &Value) -> String {
    if SECRET.contains(&(section, key)) { "(not shown)".to_owned() } else { value.to_string() }
}

/// Whether it is a whole number that is more than any setting can be.
fn is_huge(text: &str) -> bool {
    text.parse::<i64>().is_err_and(|error| *error.kind() == IntErrorKind::PosOverflow)
}

fn article(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

fn unit(key: &str) -> &'static str {
    if key.ends_with("_ms") {
        " of milliseconds"
    } else if key.ends_with("_s") {
        " of seconds"
    } else if key.contains("_bytes_") {
        " of bytes"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests;
