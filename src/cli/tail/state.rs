//! Where `tail` keeps its session's name between starts: a file of its own, written whole.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    session_id: Option<String>,
}

/// The file.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    state: RefCell<State>,
}

impl StateFile {
    /// Opens `path`, or the user's own file.
    pub(super) fn open(path: Option<PathBuf>, user: &str) -> Result<Self, String> {
        let path = match path {
            Some(path) => path,
            None => folder()?.join(format!("tail-{}.json", file_name(user))),
        };
        let state = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| format!("{} is no state file: {error}", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        Ok(Self { path, state: RefCell::new(state) })
    }

    /// The session's name, if it has one.
    pub(super) fn session(&self) -> Option<String> {
        self.state.borrow().session_id.clone()
    }

    /// Keeps the session's name.
    pub(super) fn keep(&self, session: &str) -> Result<(), String> {
        let state = State { session_id: Some(session.to_owned()) };
        if *self.state.borrow() == state {
            return Ok(());
        }
        let text = serde_json::to_string(&state).unwrap_or_default();
        self.write(&text).map_err(|error| format!("{}: {error}", self.path.display()))?;
        *self.state.borrow_mut() = state;
        Ok(())
    }

    fn write(&self, text: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let draft = self.path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        writeln!(file, "{text}")?;
        fs::rename(&draft, &self.path)
    }
}

/// The folder for state that is not worth a backup (XDG Base Directory Specification).
fn folder() -> Result<PathBuf, String> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match (from("XDG_STATE_HOME"), from("HOME")) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(home)) => PathBuf::from(home).join(".local/state"),
        (None, None) => return Err("no HOME: name a file with --state".to_owned()),
    };
    Ok(folder.join("staffetta"))
}

/// A user's name as part of a file's: unusual characters by their number.
fn file_name(user: &str) -> String {
    let mut name = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_@.".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_kept_between_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state.json");
        let file = StateFile::open(Some(path.clone()), "u").unwrap();
        assert_eq!(file.session(), None);
        file.keep("s").unwrap();
        assert_eq!(StateFile::open(Some(path), "u").unwrap().session(), Some("s".to_owned()));
    }

    #[test]
    fn the_file_of_a_program_that_kept_its_place_too_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, r#"{"session_id":"s","cursor":7}"#).unwrap();
        assert_eq!(StateFile::open(Some(path), "u").unwrap().session(), Some("s".to_owned()));
    }

    #[test]
    fn a_user_cannot_name_a_file_elsewhere() {
        assert_eq!(file_name("../zoë"), "..%2fzo%c3%ab");
    }
}
