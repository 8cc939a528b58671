//! TLS for the listener: the certificate is read from its files, and again when they change.
//!
//! A file that cannot be read, or a key that does not fit, changes nothing: the certificate in use
//! stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::TlsConfig;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("server.tls.{key}: {}: {source}", path.display())]
    File {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file holds nothing of its kind.
    #[error("server.tls.{key}: {}: {problem}", path.display())]
    Content {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong; never what is in it.
        problem: String,
    },
    /// The key is not the certificate's, or not of a kind that is known.
    #[error("server.tls: the key does not fit the certificate: {0}")]
    Mismatch(rustls::Error),
    /// The cryptography has no version of TLS in common with us.
    #[error("server.tls: {0}")]
    Setup(rustls::Error),
}

/// Whether a look at the files found something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reloaded {
    /// They hold another certificate, which is used from now on.
    Changed,
    /// They hold what is in use.
    Same,
}

/// The certificate in use.
#[derive(Debug)]
pub(super) struct Certificates {
    files: TlsConfig,
    used: RwLock<Used>,
}

#[derive(Debug)]
struct Used {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<CertifiedKey>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, or they do not belong together.
    pub(super) fn load(files: &TlsConfig) -> Result<Arc<Self>, TlsError> {
        let used = RwLock::new(read(files)?);
        Ok(Arc::new(Self { files: files.clone(), used }))
    }

    /// Reads the files again; new connections get what is there now.
    ///
    /// # Errors
    /// As [`Certificates::load`]; what was used before stays in use.
    pub(super) fn reload(&self) -> Result<Reloaded, TlsError> {
        let fresh = read(&self.files)?;
        let mut used = self.used.write().unwrap_or_else(PoisonError::into_inner);
        if used.chain == fresh.chain {
            return Ok(Reloaded::Same);
        }
        *used = fresh;
        Ok(Reloaded::Changed)
    }

    /// What a listener needs to speak TLS with these certificates: 1.2 or 1.3.
    ///
    /// # Errors
    /// When the cryptography has neither.
    pub(super) fn server_config(self: &Arc<Self>) -> Result<rustls::ServerConfig, TlsError> {
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        Ok(builder.with_no_client_auth().with_cert_resolver(Arc::clone(self) as _))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let used = self.used.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&used.key))
    }
}

fn read(files: &TlsConfig) -> Result<Used, TlsError> {
    let text = text("cert_file", &files.cert_file)?;
    let content = |key, path: &Path, problem: String| TlsError::Content {
        key,
        path: path.to_owned(),
        problem,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| content("cert_file", &files.cert_file, error.to_string()))?;
    if chain.is_empty() {
        return Err(content("cert_file", &files.cert_file, "holds no certificate".to_owned()));
    }
    let text = self::text("key_file", &files.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| content("key_file", &files.key_file, "holds no private key".to_owned()))?;
    let key = CertifiedKey::from_der(chain.clone(), key, &default_provider())
        .map_err(TlsError::Mismatch)?;
    Ok(Used { chain, key: Arc::new(key) })
}

fn text(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { key, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a fresh certificate and its key.
    fn write(files: &TlsConfig) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&files.cert_file, made.cert.pem()).unwrap();
        fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn what_is_broken_is_named_and_leaves_the_certificate_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let files = TlsConfig { cert_file: file("cert.pem"), key_file: file("key.pem") };
        let error = Certificates::load(&files).unwrap_err().to_string();
        assert!(error.starts_with("server.tls.cert_file: "), "{error}");
        write(&files);
        let used = Certificates::load(&files).unwrap();
        assert_eq!(used.reload().unwrap(), Reloaded::Same);
        let key = fs::read(&files.key_file).unwrap();
        write(&files);
        let fresh = fs::read(&files.key_file).unwrap();
        fs::write(&files.key_file, key).unwrap();
        let error = used.reload().unwrap_err().to_string();
        assert!(error.contains("does not fit the certificate"), "{error}");
        fs::write(&files.key_file, "-----BEGIN NOTHING-----").unwrap();
        let error = used.reload().unwrap_err().to_string();
        assert!(error.ends_with("holds no private key"), "{error}");
        fs::write(&files.key_file, fresh).unwrap();
        assert_eq!(used.reload().unwrap(), Reloaded::Changed);
        fs::write(&files.cert_file, "").unwrap();
        let error = used.reload().unwrap_err().to_string();
        assert!(error.ends_with("holds no certificate"), "{error}");
    }
}
