//! What a token says, and whether that is good now. Pure: `now` is passed in.

use std::collections::HashSet;

use serde_json::Value;

use super::{AuthError, Identity, Scope};
use crate::protocol::{Timestamp, UserId};

/// What is asked of a token's claims.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// What `iss` must be.
    pub(super) issuer: Option<String>,
    /// What `aud` must hold.
    pub(super) audience: Option<String>,
    /// Clock difference allowed, in seconds.
    pub(super) leeway_s: u64,
}

/// What a token says that was signed with a key of ours, apart from whether that is good now.
#[derive(Debug)]
pub(super) struct Claims {
    identity: Identity,
    /// When it begins to be good, if it says so, and when it ends, both with the leeway.
    good_from: Option<Timestamp>,
    good_until: Timestamp,
}

impl Claims {
    /// Whether it allows what `scope` is for.
    pub(super) fn allows(&self, scope: Scope) -> bool {
        self.identity.scopes.contains(&scope)
    }

    /// Who it speaks for at `now`.
    pub(super) fn at(&self, now: Timestamp) -> Result<Identity, AuthError> {
        if self.good_from.is_some_and(|from| now < from) {
            return Err(AuthError::Invalid);
        }
        if now >= self.good_until {
            return Err(AuthError::Expired);
        }
        Ok(self.identity.clone())
    }
}

/// Reads claims whose signature is good.
///
/// A claim that stands twice could mean one thing to us and another to whoever signed it; such
/// a token is refused (RFC 7519, 4).
pub(super) fn read(claims: &[u8], rules: &Rules) -> Result<Claims, AuthError> {
    if has_duplicate_names(claims) {
        return Err(AuthError::Invalid);
    }
    let claims: Value = serde_json::from_slice(claims).map_err(|_| AuthError::Invalid)?;
    let leeway_ms = i64::try_from(rules.leeway_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let expires_at = time(&claims, "exp")?.ok_or(AuthError::Invalid)?;
    if let Some(issuer) = &rules.issuer
        && claims.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(AuthError::Invalid);
    }
    if let Some(audience) = &rules.audience
        && !holds(claims.get("aud"), audience)
    {
        return Err(AuthError::Invalid);
    }
    let user = claims.get("sub").and_then(Value::as_str).ok_or(AuthError::Invalid)?;
    Ok(Claims {
        identity: Identity {
            user: UserId::new(user).map_err(|_| AuthError::Invalid)?,
            scopes: scopes(claims.get("scope")),
            accounts: accounts(claims.get("accounts"))?,
            session: claims.get("sid").and_then(Value::as_str).map(str::to_owned),
            expires_at: Some(expires_at),
        },
        good_from: time(&claims, "nbf")?.map(|at| Timestamp(at.0.saturating_sub(leeway_ms))),
        good_until: Timestamp(expires_at.0.saturating_add(leeway_ms)),
    })
}

/// A NumericDate: seconds, possibly with a fraction (RFC 7519, 2).
fn time(claims: &Value, name: &str) -> Result<Option<Timestamp>, AuthError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            let seconds = value.as_f64().ok_or(AuthError::Invalid)?;
            if !(0.0..1e13).contains(&seconds) {
                return Err(AuthError::Invalid);
            }
            Ok(Some(Timestamp((seconds * 1_000.0) as i64)))
        }
    }
}

fn holds(claim: Option<&Value>, wanted: &str) -> bool {
    match claim {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(wanted)),
        _ => false,
    }
}

/// Scopes we do not know are somebody else's.
fn scopes(claim: Option<&Value>) -> Vec<Scope> {
    match claim {
        Some(Value::String(names)) => {
            names.split_ascii_whitespace().filter_map(Scope::from_name).collect()
        }
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).filter_map(Scope::from_name).collect()
        }
        _ => Vec::new(),
    }
}

fn accounts(claim: Option<&Value>) -> Result<Option<Vec<String>>, AuthError> {
    match claim {
        None | Some(Value::Null) => Ok(None),
        Some(list) => {
            serde_json::from_value(list.clone()).map(Some).map_err(|_| AuthError::Invalid)
        }
    }
}

/// Whether a top-level name stands twice.
fn has_duplicate_names(claims: &[u8]) -> bool {
    struct Names(bool);

    impl<'de> serde::de::Visitor<'de> for &mut Names {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut seen = HashSet::new();
            while let Some(name) = map.next_key::<String>()? {
                self.0 |= !seen.insert(name);
                map.next_value::<serde::de::IgnoredAny>()?;
            }
            Ok(())
        }
    }

    let mut names = Names(false);
    let mut deserializer = serde_json::Deserializer::from_slice(claims);
    let read = serde::Deserializer::deserialize_map(&mut deserializer, &mut names);
    names.0 || read.is_err()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn rules() -> Rules {
        Rules { leeway_s: 30, ..Rules::default() }
    }

    fn checked(claims: &Value) -> Result<Identity, AuthError> {
        read(claims.to_string().as_bytes(), &rules())?.at(NOW)
    }

    #[test]
    fn the_leeway_is_exact_at_both_ends() {
        for (claims, expected) in [
            (json!({"sub": "u", "exp": 999_971}), Ok(())),
            (json!({"sub": "u", "exp": 999_970}), Err(AuthError::Expired)),
            (json!({"sub": "u", "exp": 2_000_000, "nbf": 1_000_030}), Ok(())),
            (json!({"sub": "u", "exp": 2_000_000, "nbf": 1_000_031}), Err(AuthError::Invalid)),
        ] {
            assert_eq!(checked(&claims).map(drop), expected, "{claims}");
        }
    }

    #[test]
    fn claims_of_the_wrong_shape_are_refused() {
        for claims in [
            json!({"sub": "u"}),
            json!({"sub": "u", "exp": "soon"}),
            json!({"sub": "u", "exp": 1e300}),
            json!({"sub": "u", "exp": -5}),
            json!({"sub": 7, "exp": 2_000_000}),
            json!({"sub": "", "exp": 2_000_000}),
            json!({"exp": 2_000_000}),
            json!({"sub": "u", "exp": 2_000_000, "nbf": "x"}),
            json!({"sub": "u", "exp": 2_000_000, "accounts": "personal"}),
            json!(["sub", "exp"]),
        ] {
            assert_eq!(checked(&claims), Err(AuthError::Invalid), "{claims}");
        }
        let twice = br#"{"sub":"u","exp":2000000,"sub":"admin"}"#;
        assert_eq!(read(twice, &rules()).unwrap_err(), AuthError::Invalid);
        let hidden = br#"{"sub":"u","exp":2000000,"s\u0075b":"admin"}"#;
        assert_eq!(read(hidden, &rules()).unwrap_err(), AuthError::Invalid);
    }

    #[test]
    fn scopes_and_accounts_are_read() {
        let claims = json!({
            "sub": "u", "exp": 2_000_000, "scope": "openid publish admin", "accounts": ["personal"],
        });
        let identity = checked(&claims).unwrap();
        assert_eq!(identity.scopes, [Scope::Publish, Scope::Admin]);
        assert_eq!(identity.accounts, Some(vec!["personal".to_owned()]));
        let listed = checked(&json!({"sub": "u", "exp": 2_000_000, "scope": ["publish"]})).unwrap();
        assert_eq!(listed.scopes, [Scope::Publish]);
    }

    #[test]
    fn issuer_and_audience_are_checked_when_configured() {
        let rules =
            Rules { issuer: Some("us".to_owned()), audience: Some("hub".to_owned()), leeway_s: 0 };
        let verdict = |claims: Value| read(claims.to_string().as_bytes(), &rules).is_ok();
        assert!(verdict(json!({"sub":"u","exp":2_000_000,"iss":"us","aud":"hub"})));
        assert!(verdict(json!({"sub":"u","exp":2_000_000,"iss":"us","aud":["x","hub"]})));
        assert!(!verdict(json!({"sub":"u","exp":2_000_000,"iss":"them","aud":"hub"})));
        assert!(!verdict(json!({"sub":"u","exp":2_000_000,"iss":"us","aud":"x"})));
        assert!(!verdict(json!({"sub":"u","exp":2_000_000,"iss":"us"})));
    }
}
