//! The hub's own signing secret: made once, kept in a file only its owner may read.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::{AuthSetupError, key_file};

/// An HS256 secret. Never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Whether a secret was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretOrigin {
    /// It was made just now.
    Created,
    /// It was read from its file.
    Loaded,
}

const SETTING: &str = "auth.secret_file";

impl Secret {
    /// The shortest secret taken, in bytes: as long as the hash (RFC 7518, 3.2).
    pub const BYTES_MIN: usize = 32;

    /// Takes a secret of at least [`Self::BYTES_MIN`] bytes; `setting` names where it is from.
    ///
    /// # Errors
    /// When it is shorter.
    pub fn new(bytes: &[u8], setting: &str) -> Result<Self, AuthSetupError> {
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            // Anybody may know a public key, and so could sign with it.
            let problem = "holds a PEM key, which is no HS256 secret".to_owned();
            return Err(AuthSetupError::Key { setting: setting.to_owned(), problem });
        }
        if bytes.len() < Self::BYTES_MIN {
            let (setting, bytes) = (setting.to_owned(), bytes.len());
            return Err(AuthSetupError::ShortSecret { setting, bytes });
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Reads a secret from a file, without the white space around it.
    ///
    /// # Errors
    /// When the file cannot be read or the secret is too short.
    pub fn load(path: &Path, setting: &'static str) -> Result<Self, AuthSetupError> {
        let text = key_file::read(path, setting)?;
        if let Ok(metadata) = fs::metadata(path)
            && metadata.permissions().mode() & 0o077 != 0
        {
            log::warn!("{setting}: {} can be read by others; make it 0600", path.display());
        }
        Self::new(text.trim_ascii(), setting)
    }

    /// Reads the secret from its file, or makes one: 32 random bytes in hexadecimal, mode 0600.
    /// An existing file is never written.
    ///
    /// # Errors
    /// When the file can neither be read nor made, or its secret is too short.
    pub fn load_or_create(path: &Path) -> Result<(Self, SecretOrigin), AuthSetupError> {
        match create(path) {
            Ok(secret) => Ok((secret, SecretOrigin::Created)),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                Ok((Self::load(path, SETTING)?, SecretOrigin::Loaded))
            }
            Err(source) => Err(file_error(SETTING, path, source)),
        }
    }

    /// The bytes to sign with.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Makes the file whole or not at all: a start that is cut off leaves no half a secret.
fn create(path: &Path) -> io::Result<Secret> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let text = hex::encode(random);
    // A name of its own: in a container every start has the same process id, and a draft that
    // a killed start left behind must not stop the next.
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|error| io::Error::other(error.to_string()))?;
    let draft = path.with_extension(format!("{}.new", hex::encode(suffix)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
    // A link, not a rename: it fails when another start was quicker.
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    linked.map(|()| Secret(text.into_bytes()))
}

fn file_error(setting: &'static str, path: &Path, source: io::Error) -> AuthSetupError {
    AuthSetupError::File { setting, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_secret_and_the_next_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let (made, origin) = Secret::load_or_create(&path).unwrap();
        assert_eq!(origin, SecretOrigin::Created);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(made.bytes().len(), 64);
        assert_eq!(Secret::load_or_create(&path).unwrap(), (made.clone(), SecretOrigin::Loaded));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        assert!(!format!("{made:?}").contains(&fs::read_to_string(&path).unwrap()[..8]));
    }

    #[test]
    fn a_short_secret_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "short\n").unwrap();
        let error = Secret::load_or_create(&path).unwrap_err().to_string();
        assert_eq!(error, "auth.secret_file: the secret has 5 bytes, at least 32 are needed");
        assert_eq!(fs::read_to_string(&path).unwrap(), "short\n");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Secret::load_or_create(Path::new("/nowhere/secret")).unwrap_err().to_string();
        assert!(error.starts_with("auth.secret_file: /nowhere/secret: "), "{error}");
    }
}
