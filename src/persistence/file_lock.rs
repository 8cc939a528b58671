//! The file of a SQLite database: made for its owner only, and held by one process at a time.
//!
//! The lock is on a file of its own beside it. Locking the database itself could end SQLite's locks:
//! closing any handle of a file releases all that a process has on it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connection::StoreSetupError;

/// How long a hub that is just ending is waited for.
const WAITS: u32 = 40;
const WAIT: Duration = Duration::from_millis(50);

/// Whoever has it is the only hub on its database. The system ends it with the process, however
/// that ends.
#[derive(Debug)]
pub(super) struct FileLock {
    /// Locked until it is closed.
    _file: File,
}

impl FileLock {
    /// Makes the database if there is none, and takes it; none if it is in memory. `path` is what
    /// SQLite is given: a path, or a URI with `file:`.
    ///
    /// # Errors
    /// When another has it, or the files cannot be made.
    pub(super) fn take(path: &str) -> Result<Option<Self>, StoreSetupError> {
        let Some(path) = file_of(path) else { return Ok(None) };
        let database = make(&path).map_err(|error| StoreSetupError::of_file(&path, &error))?;
        let mut name = database.clone().into_os_string();
        name.push(".lock");
        let locked = PathBuf::from(name);
        let options = &mut OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(&locked).map_err(|error| StoreSetupError::of_file(&locked, &error))?;
        for _ in 0..WAITS {
            match file.try_lock() {
                Ok(()) => {
                    // SQLite would take one it cannot write to for reading only. No hub of this process
                    // has it open: the lock is ours.
                    let writable = OpenOptions::new().write(true).open(&database);
                    writable.map_err(|error| StoreSetupError::of_file(&database, &error))?;
                    return Ok(Some(Self { _file: file }));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(WAIT),
                Err(TryLockError::Error(error)) => {
                    return Err(StoreSetupError::of_file(&locked, &error));
                }
            }
        }
        Err(StoreSetupError::InUse(database))
    }
}

/// The file that SQLite opens for this; none for a database in memory or without a name.
pub(super) fn file_of(path: &str) -> Option<PathBuf> {
    let Some(uri) = path.strip_prefix("file:") else {
        return (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(path));
    };
    let uri = uri.split_once('#').map_or(uri, |(before, _)| before);
    let (file, query) = uri.split_once('?').unwrap_or((uri, ""));
    let file = match file.strip_prefix("//") {
        Some(after) => after.find('/').and_then(|start| after.get(start..))?,
        None => file,
    };
    let is_in_memory = query.split('&').any(|part| part == "mode=memory");
    (!file.is_empty() && file != ":memory:" && !is_in_memory).then(|| PathBuf::from(file))
}

/// Makes an empty database that only its owner may read; SQLite gives its other files the same
/// mode. Says where it really is.
fn make(path: &Path) -> io::Result<PathBuf> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
                log::warn!("database.url: {} can be read by others; make it 0600", path.display());
            }
        }
        Err(error) => return Err(error),
    }
    fs::canonicalize(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_in_memory_has_no_file() {
        for memory in ["", ":memory:", "file::memory:", "file:a?mode=memory", "file:?x", "file://h"]
        {
            assert_eq!(file_of(memory), None, "{memory}");
        }
        for (path, file) in [
            ("a.db", "a.db"),
            ("/a/b.db", "/a/b.db"),
            ("file:a.db?cache=private#x", "a.db"),
            ("file:///a/b.db", "/a/b.db"),
            ("file://localhost/a/b.db", "/a/b.db"),
        ] {
            assert_eq!(file_of(path), Some(PathBuf::from(file)), "{path}");
        }
    }

    #[test]
    fn a_file_is_held_once_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let link = folder.path().join("link.db");
        let name = |path: &Path| path.to_str().unwrap().to_owned();
        let first = FileLock::take(&name(&path)).unwrap().unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let error = FileLock::take(&name(&link)).unwrap_err().to_string();
        assert!(error.contains(&name(&fs::canonicalize(&path).unwrap())), "{error}");
        drop(first);
        FileLock::take(&name(&link)).unwrap().unwrap();
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&folder.path().join("hub.db.lock")), 0o600);
    }

    #[test]
    fn what_cannot_be_written_to_is_no_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        fs::create_dir(&path).unwrap();
        let error = FileLock::take(path.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("Is a directory"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let error = FileLock::take("/nowhere/at/all.db").unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all.db"), "{error}");
    }
}
