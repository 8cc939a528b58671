//! Reads files that hold keys, and none larger than keys are.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::AuthSetupError;

/// The largest file with keys taken, in bytes.
pub(super) const BYTES_MAX: u64 = 1024 * 1024;

/// The bytes of a file with keys; `setting` names it.
///
/// # Errors
/// When it cannot be read, or is larger than [`BYTES_MAX`].
pub(super) fn read(path: &Path, setting: &'static str) -> Result<Vec<u8>, AuthSetupError> {
    bounded(path).map_err(|source| AuthSetupError::File { setting, path: path.to_owned(), source })
}

/// Reads no further than the bound, so that a device that never ends is refused too.
fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("larger than {BYTES_MAX} bytes, which no key is")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_the_bound_is_read_and_one_byte_more_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, vec![b'x'; BYTES_MAX as usize]).unwrap();
        assert_eq!(read(&path, "auth.jwks_file").unwrap().len() as u64, BYTES_MAX);
        std::fs::write(&path, vec![b'x'; BYTES_MAX as usize + 1]).unwrap();
        let error = read(&path, "auth.jwks_file").unwrap_err().to_string();
        assert!(error.starts_with("auth.jwks_file: "), "{error}");
        assert!(error.ends_with("larger than 1048576 bytes, which no key is"), "{error}");
    }

    #[test]
    fn a_device_that_never_ends_is_refused() {
        assert!(read(Path::new("/dev/zero"), "auth.keys.pem_file").is_err());
    }
}
