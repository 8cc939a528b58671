//! One connection to either database, how it is opened, and how a transaction is run on it.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel::sqlite::Sqlite;
use diesel::{PgConnection, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::file_lock::{self, FileLock};
use super::messages::StoreError;
use super::slots;
use crate::config::{DatabaseConfig, Synchronous};

const OF_BOTH: EmbeddedMigrations = embed_migrations!("migrations/both");
const OF_SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// The migrations of a SQLite database: those of both databases, and its own.
struct SqliteMigrations;

impl MigrationSource<Sqlite> for SqliteMigrations {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Sqlite>>>> {
        let mut all = OF_BOTH.migrations()?;
        let own: Vec<Box<dyn Migration<Sqlite>>> = OF_SQLITE.migrations()?;
        all.extend(own);
        Ok(all)
    }
}

/// Runs the same query on whichever database it is, with full typing: what Diesel's
/// `MultiConnection` cannot express (batch inserts, ON CONFLICT) it can.
macro_rules! on_backend {
    ($connection:expr, $inner:ident => $query:expr) => {
        match $connection {
            $crate::persistence::connection::StoreConnection::Postgres($inner) => $query,
            $crate::persistence::connection::StoreConnection::Sqlite($inner) => $query,
        }
    };
}
pub(super) use on_backend;

/// A connection to either database. Chosen by the URL's scheme, never by trying.
#[derive(diesel::MultiConnection)]
pub(super) enum StoreConnection {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// Why the store could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StoreSetupError {
    /// The URL names no database we know.
    #[error("database.url must start with sqlite:// or postgres://")]
    Scheme,
    /// The database cannot be opened.
    #[error("the database (database.url) cannot be opened: {0}")]
    Open(String),
    /// Another hub has it.
    #[error("the database {} (database.url) is in use by another hub: one at a time", .0.display())]
    InUse(PathBuf),
    /// The schema cannot be brought up to date.
    #[error("the database's schema cannot be brought up to date: {0}")]
    Migrate(String),
    /// A thread cannot be started.
    #[error("a database thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl StoreSetupError {
    /// A file of the database's that cannot be opened.
    pub(super) fn of_file(path: &Path, error: &impl Display) -> Self {
        Self::Open(format!("{}: {error}", path.display()))
    }
}

/// Opens connections as the configuration says.
#[derive(Clone)]
pub(super) struct Opener {
    target: Target,
    busy_timeout: Duration,
    synchronous: Synchronous,
    /// After which Postgres ends what this node does not go on with, in milliseconds.
    gives_up_ms: Option<u64>,
}

#[derive(Clone)]
enum Target {
    Postgres(String),
    Sqlite(String),
}

impl Opener {
    pub(super) fn new(config: &DatabaseConfig) -> Result<Self, StoreSetupError> {
        let url = &config.url;
        let target = if let Some(path) = url.strip_prefix("sqlite://") {
            Target::Sqlite(path.to_owned())
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Target::Postgres(with_connect_timeout(url, config.busy_timeout_ms))
        } else {
            return Err(StoreSetupError::Scheme);
        };
        let busy_timeout = Duration::from_millis(config.busy_timeout_ms);
        Ok(Self { target, busy_timeout, synchronous: config.synchronous, gives_up_ms: None })
    }

    /// Gives up what takes longer than this: a node of several must neither hold up the others nor
    /// wait for a database that is cut off.
    pub(super) fn giving_up(mut self, gives_up_ms: u64) -> Self {
        if let Target::Postgres(url) = &mut self.target {
            *url = with_parameter(url, "tcp_user_timeout", gives_up_ms);
        }
        self.gives_up_ms = Some(gives_up_ms);
        self
    }

    pub(super) fn is_sqlite(&self) -> bool {
        matches!(self.target, Target::Sqlite(_))
    }

    /// The file of a SQLite database; none for one in memory.
    pub(super) fn file(&self) -> Option<PathBuf> {
        match &self.target {
            Target::Postgres(_) => None,
            Target::Sqlite(path) => file_lock::file_of(path),
        }
    }

    /// Takes the file of a SQLite database for this process; several may share Postgres.
    pub(super) fn lock(&self) -> Result<Option<FileLock>, StoreSetupError> {
        match &self.target {
            Target::Postgres(_) => Ok(None),
            Target::Sqlite(path) => FileLock::take(path),
        }
    }

    /// Brings the schema up to date and names the migrations it ran.
    pub(super) fn migrate(&self) -> Result<Vec<String>, StoreSetupError> {
        let mut connection = self.open_for_setup()?;
        let ran = match &mut connection {
            StoreConnection::Postgres(inner) => inner.run_pending_migrations(OF_BOTH),
            StoreConnection::Sqlite(inner) => inner.run_pending_migrations(SqliteMigrations),
        };
        let ran = ran.map(|versions| versions.iter().map(ToString::to_string).collect());
        ran.map_err(|error| StoreSetupError::Migrate(error.to_string()))
    }

    pub(super) fn open_for_setup(&self) -> Result<StoreConnection, StoreSetupError> {
        self.open().map_err(|error| match self.file() {
            Some(file) => StoreSetupError::of_file(&file, &error),
            None => StoreSetupError::Open(error.to_string()),
        })
    }

    pub(super) fn open(&self) -> ConnectionResult<StoreConnection> {
        match &self.target {
            Target::Postgres(url) => {
                let mut connection = PgConnection::establish(url)?;
                if let Some(gives_up_ms) = self.gives_up_ms {
                    slots::give_up_after(gives_up_ms, &mut connection)
                        .map_err(ConnectionError::CouldntSetupConfiguration)?;
                }
                // Whoever locks a table must not hold up the writer for longer than this.
                connection
                    .batch_execute(&format!("SET lock_timeout = {}", self.busy_timeout.as_millis()))
                    .map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(StoreConnection::Postgres(connection))
            }
            Target::Sqlite(path) => {
                let mut connection = SqliteConnection::establish(path)?;
                let synchronous = match self.synchronous {
                    Synchronous::Full => "FULL",
                    Synchronous::Normal => "NORMAL",
                };
                // The timeout comes first: switching to WAL takes a lock. All of the cache is looked
                // through at the end of each transaction that split a page; places are written
                // user by user, and so need a page once.
                connection
                    .batch_execute(&format!(
                        "PRAGMA busy_timeout = {};
                         PRAGMA journal_mode = WAL;
                         PRAGMA synchronous = {synchronous};
                         PRAGMA foreign_keys = ON;
                         PRAGMA cache_size = -4096;
                         PRAGMA temp_store = MEMORY;
                         PRAGMA wal_autocheckpoint = 32000;",
                        self.busy_timeout.as_millis()
                    ))
                    .map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(StoreConnection::Sqlite(connection))
            }
        }
    }
}

/// A database that does not answer must not hold up the writer for minutes.
fn with_connect_timeout(url: &str, timeout_ms: u64) -> String {
    with_parameter(url, "connect_timeout", timeout_ms.div_ceil(1_000).max(2))
}

/// A URL with one more parameter, unless it has it.
fn with_parameter(url: &str, name: &str, value: u64) -> String {
    if url.contains(&format!("{name}=")) {
        return url.to_owned();
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{name}={value}")
}

impl diesel::r2d2::ManageConnection for Opener {
    type Connection = StoreConnection;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<StoreConnection, Self::Error> {
        self.open().map_err(diesel::r2d2::Error::ConnectionError)
    }

    fn is_valid(&self, connection: &mut StoreConnection) -> Result<(), Self::Error> {
        connection.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, connection: &mut StoreConnection) -> bool {
        R2D2Connection::is_broken(connection)
    }
}

/// Brings the schema up to date and names the migrations it ran.
///
/// # Errors
/// When the database cannot be opened, a hub is running on this SQLite database, or a migration
/// fails.
pub fn migrate(config: &DatabaseConfig) -> Result<Vec<String>, StoreSetupError> {
    let opener = Opener::new(config)?;
    let _lock = opener.lock()?;
    opener.migrate()
}

/// Takes the schema back to nothing, with everything in it, and names the migrations it undid.
///
/// # Errors
/// As [`migrate`].
pub fn migrate_down(config: &DatabaseConfig) -> Result<Vec<String>, StoreSetupError> {
    let opener = Opener::new(config)?;
    let _lock = opener.lock()?;
    let mut connection = opener.open_for_setup()?;
    let undid = match &mut connection {
        StoreConnection::Postgres(inner) => inner.revert_all_migrations(OF_BOTH),
        StoreConnection::Sqlite(inner) => inner.revert_all_migrations(SqliteMigrations),
    };
    let undid = undid.map(|versions| versions.iter().map(ToString::to_string).collect());
    undid.map_err(|error| StoreSetupError::Migrate(error.to_string()))
}

/// Runs `work` in one transaction: all of it is durable when this returns, or none of it is.
pub(super) fn in_transaction<T>(
    connection: &mut StoreConnection,
    work: impl FnOnce(&mut StoreConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    match connection {
        StoreConnection::Postgres(inner) => inner.batch_execute("BEGIN")?,
        // At once a writer: a transaction that starts by reading can find itself outdated.
        StoreConnection::Sqlite(inner) => inner.batch_execute("BEGIN IMMEDIATE")?,
    }
    let done = work(connection).and_then(|value| {
        on_backend!(connection, inner => inner.batch_execute("COMMIT"))?;
        Ok(value)
    });
    if done.is_err() {
        // The connection may be gone; then the database has rolled back by itself.
        let _ = on_backend!(connection, inner => inner.batch_execute("ROLLBACK"));
    }
    done
}

impl From<diesel::result::Error> for StoreError {
    fn from(error: diesel::result::Error) -> Self {
        StoreError::Database(brief(&error))
    }
}

/// What failed, without the values of the failing statement.
fn brief(error: &diesel::result::Error) -> String {
    match error {
        diesel::result::Error::DatabaseError(_, details) => details.message().to_owned(),
        diesel::result::Error::NotFound => "not found".to_owned(),
        other => other.to_string(),
    }
}
