//! Tokens that may publish are remembered, and are good no longer for it.

use super::*;

fn claims_of_a_publisher() -> Value {
    json!({"sub": "app", "exp": 1_800_000_600, "scope": "publish"})
}

fn check_at(verifier: &JwtVerifier, token: &str, seconds: i64) -> Result<Identity, AuthError> {
    let at = Timestamp(NOW.0 + seconds * 1_000);
    runtime().block_on(verifier.verify(token, at))
}

#[test]
fn a_remembered_token_ends_when_it_says_and_speaks_for_nothing_but_itself() {
    let verifier = JwtVerifier::from_config(&shared()).unwrap();
    let header = json!({"alg": "HS256"});
    let good = hmac(SECRET.as_bytes(), &header, &claims_of_a_publisher());
    for _ in 0..2 {
        let identity = check_at(&verifier, &good, 0).unwrap();
        assert_eq!((identity.user.as_str(), &*identity.scopes), ("app", &[Scope::Publish][..]));
    }
    assert!(verifier.remembered.find(&good, &None).is_some());
    let forged = hmac(&[7; 32], &header, &claims_of_a_publisher());
    assert_eq!(check_at(&verifier, &forged, 0), Err(AuthError::Invalid));
    assert!(check_at(&verifier, &good, 629).is_ok());
    assert_eq!(check_at(&verifier, &good, 630), Err(AuthError::Expired));
}

#[test]
fn a_users_token_is_not_remembered() {
    let verifier = JwtVerifier::from_config(&shared()).unwrap();
    let token = hmac(SECRET.as_bytes(), &json!({"alg": "HS256"}), &claims());
    assert!(check(&verifier, &token).is_ok());
    assert!(verifier.remembered.find(&token, &None).is_none());
}

#[test]
fn a_remembered_token_ends_with_the_key_that_the_url_served() {
    let [(first, ..), (second, ..), _] = Signer::all();
    let (verifier, body, asked) = fetching(&first.jwk("a"));
    let header = json!({"alg": "RS256", "kid": "a"});
    let token = first.token(&header, &claims_of_a_publisher());
    assert!(check(&verifier, &token).is_ok());
    let fetches = asked.load(Ordering::SeqCst);
    let fetched = verifier.remote.as_ref().map(|remote| remote.known().0);
    assert!(verifier.remembered.find(&token, &fetched).is_some());
    assert!(check(&verifier, &token).is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), fetches, "a key that is known is not fetched");
    // The application takes its key back, and a token with the new one makes the hub see that.
    *body.lock().unwrap() = json!({"keys": [second.jwk("b")]}).to_string();
    let rotated = second.token(&json!({"alg": "ES256", "kid": "b"}), &claims());
    assert!(check(&verifier, &rotated).is_ok());
    assert_eq!(check(&verifier, &token), Err(AuthError::Invalid));
}
