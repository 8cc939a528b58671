//! Tokens of every kind, and the ways to forge one.

mod publishers;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::auth::{Scope, sign};
use crate::config::{KeyAlgorithm, KeyConfig};
use crate::protocol::UserId;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn encoded(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

fn claims() -> Value {
    json!({"sub": "alice", "exp": 1_800_000_600})
}

/// Something that signs.
enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn all() -> [(Signer, KeyAlgorithm, &'static str); 3] {
        let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let ed = Ed25519KeyPair::generate().unwrap();
        [
            (Signer::Rsa(rsa), KeyAlgorithm::RS256, "RS256"),
            (Signer::Ec(ec), KeyAlgorithm::ES256, "ES256"),
            (Signer::Ed(ed), KeyAlgorithm::EdDSA, "EdDSA"),
        ]
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Signer::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Signer::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as SPKI in PEM.
    fn pem(&self) -> String {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        let der: PublicKeyX509Der<'_> = match self {
            Signer::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Signer::Ec(pair) => pair.public_key().as_der().unwrap(),
            Signer::Ed(pair) => pair.public_key().as_der().unwrap(),
        };
        let body = BASE64_STANDARD.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn jwk(&self, kid: &str) -> Value {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Signer::Rsa(pair) => {
                let key = pair.public_key();
                let n = key.modulus().big_endian_without_leading_zero();
                let e = key.exponent().big_endian_without_leading_zero();
                json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": text(n), "e": text(e)})
            }
            Signer::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": text(&point[1..33]), "y": text(&point[33..])})
            }
            Signer::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(pair.public_key().as_ref())})
            }
        }
    }
}

fn hmac(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let signature = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

fn shared() -> AuthConfig {
    let key = KeyConfig {
        algorithm: KeyAlgorithm::HS256,
        kid: None,
        secret: Some(SECRET.to_owned()),
        secret_file: None,
        pem_file: None,
    };
    AuthConfig { keys: vec![key], ..AuthConfig::default() }
}

fn with_pem(algorithm: KeyAlgorithm, path: &std::path::Path) -> AuthConfig {
    let key = KeyConfig {
        algorithm,
        kid: Some("k1".to_owned()),
        secret: None,
        secret_file: None,
        pem_file: Some(path.to_owned()),
    };
    AuthConfig { keys: vec![key], ..AuthConfig::default() }
}

fn check(verifier: &JwtVerifier, token: &str) -> Result<Identity, AuthError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(verifier.verify(token, NOW))
}

#[test]
fn the_hubs_own_tokens_are_good_until_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let secret_file = folder.path().join("secret");
    let config = AuthConfig { secret_file: secret_file.clone(), ..AuthConfig::default() };
    let verifier = JwtVerifier::from_config(&config).unwrap();
    let (secret, _) = Secret::load_or_create(&secret_file).unwrap();
    let user = UserId::new("alice").unwrap();
    let token =
        |ttl| sign(&secret, &user, &[Scope::Publish], Duration::from_secs(ttl), NOW).unwrap();
    let identity = check(&verifier, &token(60)).unwrap();
    assert_eq!((identity.user, identity.scopes), (user.clone(), vec![Scope::Publish]));
    let late = Timestamp(NOW.0 + 91_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(verifier.verify(&token(60), late)), Err(AuthError::Expired));
}

#[test]
fn every_asymmetric_algorithm_works_from_pem_and_from_a_key_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    for (signer, algorithm, name) in Signer::all() {
        std::fs::write(&path, signer.pem()).unwrap();
        let token = signer.token(&json!({"alg": name, "kid": "k1"}), &claims());
        let verifier = JwtVerifier::from_config(&with_pem(algorithm, &path)).unwrap();
        assert_eq!(check(&verifier, &token).unwrap().user.as_str(), "alice", "{name}");

        let set = json!({"keys": [{"kty": "weird"}, signer.jwk("k1")]});
        std::fs::write(&path, set.to_string()).unwrap();
        let config = AuthConfig { jwks_file: Some(path.clone()), ..AuthConfig::default() };
        let verifier = JwtVerifier::from_config(&config).unwrap();
        assert_eq!(check(&verifier, &token).unwrap().user.as_str(), "alice", "{name}");
        let unknown = signer.token(&json!({"alg": name, "kid": "k2"}), &claims());
        assert_eq!(check(&verifier, &unknown), Err(AuthError::Invalid), "{name}: wrong kid");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    for (signer, algorithm, _) in Signer::all() {
        let pem = signer.pem();
        std::fs::write(&path, &pem).unwrap();
        let verifier = JwtVerifier::from_config(&with_pem(algorithm, &path)).unwrap();
        let forged = hmac(pem.as_bytes(), &json!({"alg": "HS256", "kid": "k1"}), &claims());
        assert_eq!(check(&verifier, &forged), Err(AuthError::Invalid));
    }
}

#[test]
fn what_is_forged_is_refused() {
    let verifier = JwtVerifier::from_config(&shared()).unwrap();
    let header = json!({"alg": "HS256"});
    let good = hmac(SECRET.as_bytes(), &header, &claims());
    assert!(check(&verifier, &good).is_ok());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other_claims = encoded(&json!({"sub": "root", "exp": 1_800_000_600}));
    let unsigned = format!("{}.{}.", encoded(&json!({"alg": "none"})), encoded(&claims()));
    for forged in [
        unsigned.as_str(),
        &format!("{message}."),
        &format!("{message}.{}", &signature[1..]),
        &format!("{}.{other_claims}.{signature}", encoded(&header)),
        &hmac(b"another secret, just as long as it", &header, &claims()),
        &hmac(SECRET.as_bytes(), &json!({"alg": "HS512"}), &claims()),
        &hmac(SECRET.as_bytes(), &json!({"alg": "RS256"}), &claims()),
        "",
        "a",
        "a.b.c",
        "..",
        &"x".repeat(9_000),
        &format!("{good}.{good}"),
    ] {
        let verdict = check(&verifier, forged);
        assert_eq!(verdict, Err(AuthError::Invalid), "{}", &forged[..forged.len().min(60)]);
    }
    let huge = hmac(
        SECRET.as_bytes(),
        &header,
        &json!({"sub": "alice", "exp": 1_800_000_600, "x": "y".repeat(9_000)}),
    );
    assert_eq!(check(&verifier, &huge), Err(AuthError::Invalid), "oversized");
}

#[test]
fn a_key_without_a_name_fits_a_named_token_only_if_it_is_the_only_key() {
    let named = |kid: &str| json!({"alg": "HS256", "kid": kid});
    let (first, second) = (SECRET.as_bytes(), &b"another secret, just as long as it"[..]);
    let unnamed = shared().keys.remove(0);
    let second_key = KeyConfig {
        kid: Some("second".to_owned()),
        secret: Some(String::from_utf8(second.to_vec()).unwrap()),
        ..unnamed.clone()
    };
    let alone = JwtVerifier::from_config(&shared()).unwrap();
    assert!(check(&alone, &hmac(first, &named("whatever"), &claims())).is_ok());

    let keys = vec![unnamed, second_key];
    let both = AuthConfig { keys, ..AuthConfig::default() };
    let both = JwtVerifier::from_config(&both).unwrap();
    for (secret, header, is_good) in [
        (first, json!({"alg": "HS256"}), true),
        (second, json!({"alg": "HS256"}), true),
        (second, named("second"), true),
        (first, named("second"), false),
        (first, named("whatever"), false),
        (second, named("whatever"), false),
    ] {
        let verdict = check(&both, &hmac(secret, &header, &claims()));
        assert_eq!(verdict.is_ok(), is_good, "{header}");
    }
}

#[test]
fn the_only_key_of_a_url_needs_no_name_but_two_do() {
    let [(first, ..), (second, ..), _] = Signer::all();
    let strip = |mut jwk: Value| {
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let only = json!({"keys": [strip(first.jwk("a"))]}).to_string();
    let body = Arc::new(std::sync::Mutex::new(only));
    let (url, _) = key_server(Arc::clone(&body));
    let config = AuthConfig { jwks_url: Some(url.clone()), ..AuthConfig::default() };
    let named = first.token(&json!({"alg": "RS256", "kid": "whatever"}), &claims());
    assert!(check(&JwtVerifier::from_config(&config).unwrap(), &named).is_ok());
    let two = json!({"keys": [strip(first.jwk("a")), second.jwk("b")]}).to_string();
    *body.lock().unwrap() = two;
    let outcome = check(&JwtVerifier::from_config(&config).unwrap(), &named);
    assert_eq!(outcome, Err(AuthError::Invalid));
}

#[test]
fn an_expired_token_is_only_called_so_when_its_signature_is_good() {
    let verifier = JwtVerifier::from_config(&shared()).unwrap();
    let expired = json!({"sub": "alice", "exp": 1_700_000_000});
    let header = json!({"alg": "HS256"});
    let good = hmac(SECRET.as_bytes(), &header, &expired);
    assert_eq!(check(&verifier, &good), Err(AuthError::Expired));
    let forged = hmac(b"another secret, just as long as it", &header, &expired);
    assert_eq!(check(&verifier, &forged), Err(AuthError::Invalid));
}

#[test]
fn keys_named_in_the_header_are_never_followed() {
    let (signer, _, _) = Signer::all().into_iter().next().unwrap();
    let verifier = JwtVerifier::from_config(&shared()).unwrap();
    for header in [
        json!({"alg": "RS256", "jku": "http://127.0.0.1:1/keys"}),
        json!({"alg": "RS256", "x5u": "http://127.0.0.1:1/cert"}),
        json!({"alg": "RS256", "jwk": signer.jwk("mine")}),
    ] {
        let token = signer.token(&header, &claims());
        assert_eq!(check(&verifier, &token), Err(AuthError::Invalid));
    }
}

/// A server of key sets that counts how often it was asked.
fn key_server(body: Arc<std::sync::Mutex<String>>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut request = [0; 4096];
            let _ = socket.read(&mut request);
            count.fetch_add(1, Ordering::SeqCst);
            let body = body.lock().unwrap().clone();
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = socket.write_all((head + &body).as_bytes());
        }
    });
    (url, asked)
}

/// A verifier beside a server of one key, which it asks whenever it may; what is served, and how often
/// it was asked.
fn fetching(key: &Value) -> (JwtVerifier, Arc<std::sync::Mutex<String>>, Arc<AtomicUsize>) {
    let body = Arc::new(std::sync::Mutex::new(json!({"keys": [key]}).to_string()));
    let (url, asked) = key_server(Arc::clone(&body));
    let mut verifier = JwtVerifier::from_config(&shared()).unwrap();
    verifier.remote = Some(RemoteKeys::with_pause(url, Duration::ZERO));
    (verifier, body, asked)
}

#[test]
fn keys_from_a_url_are_fetched_when_needed_and_a_flood_of_unknown_names_costs_nothing() {
    let [(first, ..), (second, ..), _] = Signer::all();
    let body = Arc::new(std::sync::Mutex::new(json!({"keys": [first.jwk("a")]}).to_string()));
    let (url, asked) = key_server(Arc::clone(&body));
    let mut verifier = JwtVerifier::from_config(&shared()).unwrap();
    verifier.remote = Some(RemoteKeys::new(url.clone()));
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nothing is fetched before it is needed");
    let good = first.token(&json!({"alg": "RS256", "kid": "a"}), &claims());
    assert!(check(&verifier, &good).is_ok());
    for n in 0..50 {
        let unknown = first.token(&json!({"alg": "RS256", "kid": format!("x{n}")}), &claims());
        assert_eq!(check(&verifier, &unknown), Err(AuthError::Invalid));
    }
    assert!(check(&verifier, &good).is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    // After the pause, a key that was added is found.
    verifier.remote = Some(RemoteKeys::with_pause(url, Duration::ZERO));
    assert!(check(&verifier, &good).is_ok());
    *body.lock().unwrap() = json!({"keys": [first.jwk("a"), second.jwk("b")]}).to_string();
    let rotated = second.token(&json!({"alg": "ES256", "kid": "b"}), &claims());
    assert!(check(&verifier, &rotated).is_ok());
}

#[test]
fn while_the_url_is_away_nobody_is_told_that_a_token_is_bad() {
    let (signer, ..) = Signer::all().into_iter().next().unwrap();
    let mut verifier = JwtVerifier::from_config(&shared()).unwrap();
    verifier.remote = Some(RemoteKeys::new("http://127.0.0.1:1/keys".to_owned()));
    let token = signer.token(&json!({"alg": "RS256", "kid": "a"}), &claims());
    assert_eq!(check(&verifier, &token), Err(AuthError::KeysUnavailable));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_key_set_without_kids_that_rotates_is_picked_up_after_the_pause() {
    let [(first, ..), (second, ..), _] = Signer::all();
    let strip = |mut jwk: Value| {
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let (verifier, body, asked) = fetching(&strip(first.jwk("a")));
    assert!(check(&verifier, &first.token(&json!({"alg": "RS256"}), &claims())).is_ok());
    *body.lock().unwrap() = json!({"keys": [strip(second.jwk("b"))]}).to_string();
    let outcome = check(&verifier, &second.token(&json!({"alg": "ES256"}), &claims()));
    assert!(outcome.is_ok(), "{outcome:?} after {} fetches", asked.load(Ordering::SeqCst));
}

#[test]
fn a_caller_that_goes_away_does_not_lose_the_fetch() {
    let (signer, ..) = Signer::all().into_iter().next().unwrap();
    let body = Arc::new(std::sync::Mutex::new(json!({"keys": [signer.jwk("a")]}).to_string()));
    let (url, asked) = key_server(Arc::clone(&body));
    let mut verifier = JwtVerifier::from_config(&shared()).unwrap();
    verifier.remote = Some(RemoteKeys::new(url));
    let good = signer.token(&json!({"alg": "RS256", "kid": "a"}), &claims());
    let runtime = runtime();
    // The server does not answer while this is held.
    let unanswered = body.lock().unwrap();
    runtime.block_on(async {
        let mut first = verifier.verify(&good, NOW);
        // Polled once, then dropped: what a closed HTTP connection does to its handler.
        assert!(futures_util::FutureExt::now_or_never(&mut first).is_none());
        drop(first);
    });
    drop(unanswered);
    drop(runtime); // waits for the blocking fetch
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(check(&verifier, &good).is_ok(), "{:?}", check(&verifier, &good));
}

#[test]
fn a_draft_left_by_a_killed_start_does_not_stop_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("staffetta.secret");
    // In a container the process id is the same at every start.
    std::fs::write(folder.path().join(format!("staffetta.{}.new", std::process::id())), "x")
        .unwrap();
    Secret::load_or_create(&path).map(drop).unwrap();
}

#[test]
fn crit_is_refused() {
    let verifier = JwtVerifier::from_config(&shared()).unwrap();
    let header = json!({"alg": "HS256", "crit": ["exp2"], "exp2": 1});
    let outcome = check(&verifier, &hmac(SECRET.as_bytes(), &header, &claims()));
    assert_eq!(outcome, Err(AuthError::Invalid));
}

fn pem(tag: &str, der: &[u8]) -> String {
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", BASE64_STANDARD.encode(der))
}

fn starts_with_pem(algorithm: KeyAlgorithm, pem: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    std::fs::write(&path, pem).unwrap();
    JwtVerifier::from_config(&with_pem(algorithm, &path)).is_ok()
}

#[test]
fn a_private_rsa_pem_stops_the_start() {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    assert!(!starts_with_pem(KeyAlgorithm::RS256, &pem("PRIVATE KEY", der.as_ref())));
}

#[test]
fn a_p384_pem_stops_the_start_of_es256() {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    let pair =
        EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    assert!(!starts_with_pem(KeyAlgorithm::ES256, &pem("PUBLIC KEY", der.as_ref())));
}

#[test]
fn a_jwks_url_that_is_none_stops_the_start() {
    let config =
        AuthConfig { jwks_url: Some("ftp://id.example/keys".to_owned()), ..AuthConfig::default() };
    assert!(JwtVerifier::from_config(&config).is_err());
}

#[test]
fn a_jwks_file_without_a_usable_key_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, json!({"keys": [{"kty": "weird"}]}).to_string()).unwrap();
    let config = AuthConfig { jwks_file: Some(path), ..AuthConfig::default() };
    assert!(JwtVerifier::from_config(&config).is_err());
}

#[test]
fn a_new_kid_while_the_url_is_down_is_not_called_a_bad_token() {
    let [(first, ..), (second, ..), _] = Signer::all();
    let (verifier, body, _) = fetching(&first.jwk("a"));
    let good = first.token(&json!({"alg": "RS256", "kid": "a"}), &claims());
    assert!(check(&verifier, &good).is_ok());
    "down".clone_into(&mut body.lock().unwrap());
    let rotated = second.token(&json!({"alg": "ES256", "kid": "b"}), &claims());
    assert_eq!(check(&verifier, &rotated), Err(AuthError::KeysUnavailable));
    assert!(check(&verifier, &good).is_ok(), "old keys stay");
}

#[test]
fn a_public_pem_is_refused_as_an_hs256_secret() {
    let (signer, ..) = Signer::all().into_iter().next().unwrap();
    let mut config = shared();
    config.keys[0].secret = Some(signer.pem());
    assert!(JwtVerifier::from_config(&config).is_err());
}

#[test]
fn concurrent_tokens_share_one_fetch_and_an_oversized_set_is_refused() {
    let (signer, ..) = Signer::all().into_iter().next().unwrap();
    let body = Arc::new(std::sync::Mutex::new(json!({"keys": [signer.jwk("a")]}).to_string()));
    let (url, asked) = key_server(Arc::clone(&body));
    let mut verifier = JwtVerifier::from_config(&shared()).unwrap();
    verifier.remote = Some(RemoteKeys::new(url.clone()));
    let good = signer.token(&json!({"alg": "RS256", "kid": "a"}), &claims());
    let outcomes = runtime()
        .block_on(futures_util::future::join_all((0..20).map(|_| verifier.verify(&good, NOW))));
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    *body.lock().unwrap() =
        format!("{}{}", json!({"keys": [signer.jwk("a")]}), " ".repeat(1024 * 1024));
    verifier.remote = Some(RemoteKeys::new(url));
    assert_eq!(check(&verifier, &good), Err(AuthError::KeysUnavailable));
}
