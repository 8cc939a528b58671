//! How a post proves that it comes from the hub: an HMAC over its time, its name and its body.
//!
//! Pure: the time is passed in. [`verify`] is what a receiver in Rust does with a post.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

/// The header with the post's name, the same in every attempt.
pub const ID_HEADER: &str = "Staffetta-Id";

/// The header with the time of the attempt, in Unix seconds.
pub const TIMESTAMP_HEADER: &str = "Staffetta-Timestamp";

/// The header with the signature of the attempt.
pub const SIGNATURE_HEADER: &str = "Staffetta-Signature";

/// How far a post's time may be from the receiver's, in seconds, unless it has reasons.
pub const TOLERANCE_S: u64 = 300;

/// The only scheme there is.
const SCHEME: &str = "v1=";

/// What [`SIGNATURE_HEADER`] holds: `v1=` and, in hexadecimal,
/// HMAC-SHA256(`secret`, `"<timestamp>.<id>.<body>"`).
pub fn sign(secret: &[u8], timestamp_s: i64, id: &str, body: &[u8]) -> String {
    format!("{SCHEME}{}", hex::encode(mac(secret, &timestamp_s.to_string(), id, body)))
}

/// The headers of a post, as they came.
#[derive(Clone, Copy, Debug)]
pub struct SignedHeaders<'a> {
    /// [`ID_HEADER`].
    pub id: &'a str,
    /// [`TIMESTAMP_HEADER`].
    pub timestamp: &'a str,
    /// [`SIGNATURE_HEADER`].
    pub signature: &'a str,
}

/// Why a post is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is not as it must be.
    #[error("a header of the signature is malformed")]
    Malformed,
    /// Its time is too far from the receiver's: it may be an old one, sent again by somebody.
    #[error("the signature is too old, or from the future")]
    Stale,
    /// Its signature is not the secret's.
    #[error("the signature is not right")]
    Wrong,
}

/// Checks that a post comes from whoever knows `secret`, in constant time, and that it was made
/// within `tolerance_s` of `now_s`. A receiver also remembers each `id` for as long as it must
/// not do a thing twice: attempts repeat it.
///
/// # Errors
/// Why it is not to be believed.
pub fn verify(
    secret: &[u8],
    headers: SignedHeaders<'_>,
    body: &[u8],
    tolerance_s: u64,
    now_s: i64,
) -> Result<(), SignatureError> {
    let signature = headers.signature.strip_prefix(SCHEME).ok_or(SignatureError::Malformed)?;
    let signature = hex::decode(signature).map_err(|_| SignatureError::Malformed)?;
    let at: i64 = headers.timestamp.parse().map_err(|_| SignatureError::Malformed)?;
    // Over the text as it came, so that another spelling of the same number is another text.
    let expected = mac(secret, headers.timestamp, headers.id, body);
    verify_slices_are_equal(&expected, &signature).map_err(|_| SignatureError::Wrong)?;
    if at.abs_diff(now_s) > tolerance_s {
        return Err(SignatureError::Stale);
    }
    Ok(())
}

fn mac(secret: &[u8], timestamp: &str, id: &str, body: &[u8]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    for part in [timestamp.as_bytes(), b".", id.as_bytes(), b".", body] {
        context.update(part);
    }
    context.sign().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const ID: &str = "0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a10";
    const BODY: &[u8] = b"{\"kind\":\"command\"}";
    const AT: i64 = 1_700_000_000;

    // printf '%s' '1700000000.0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a10.{"kind":"command"}' |
    //     openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
    const VECTOR: &str = "v1=514113d3668109d2504e9b891225335e27ef9a0bbb64217099f2a646812e75df";

    fn check(
        secret: &[u8],
        timestamp: &str,
        id: &str,
        signature: &str,
        body: &[u8],
        now_s: i64,
    ) -> Result<(), SignatureError> {
        verify(secret, SignedHeaders { id, timestamp, signature }, body, TOLERANCE_S, now_s)
    }

    #[test]
    fn the_signature_is_the_one_any_other_tool_makes() {
        assert_eq!(sign(SECRET, AT, ID, BODY), VECTOR);
        assert_eq!(check(SECRET, "1700000000", ID, VECTOR, BODY, AT), Ok(()));
    }

    #[test]
    fn nothing_that_is_signed_can_be_changed() {
        let other = "0198c5a0-7c1e-7a6b-9b1d-3f2c5d8e9a11";
        let wrong = Err(SignatureError::Wrong);
        assert_eq!(check(b"another secret", "1700000000", ID, VECTOR, BODY, AT), wrong);
        assert_eq!(check(SECRET, "1700000001", ID, VECTOR, BODY, AT), wrong);
        assert_eq!(check(SECRET, "+1700000000", ID, VECTOR, BODY, AT), wrong);
        assert_eq!(check(SECRET, "1700000000", other, VECTOR, BODY, AT), wrong);
        assert_eq!(check(SECRET, "1700000000", ID, VECTOR, b"{}", AT), wrong);
        assert_eq!(check(SECRET, "1700000000", ID, &VECTOR[..VECTOR.len() - 2], BODY, AT), wrong);
    }

    #[test]
    fn a_signature_does_not_hold_for_ever() {
        let at = |now_s| check(SECRET, "1700000000", ID, VECTOR, BODY, now_s);
        assert_eq!((at(AT + 300), at(AT - 300)), (Ok(()), Ok(())));
        let stale = Err(SignatureError::Stale);
        assert_eq!((at(AT + 301), at(AT - 301), at(i64::MIN)), (stale, stale, stale));
    }

    #[test]
    fn a_header_that_cannot_be_read_is_said_to_be_so() {
        for (timestamp, signature) in
            [("now", VECTOR), ("1700000000", "v2=00"), ("1700000000", "v1=zz"), ("", "")]
        {
            let told = check(SECRET, timestamp, ID, signature, BODY, AT);
            assert_eq!(told, Err(SignatureError::Malformed), "{timestamp} {signature}");
        }
    }
}
