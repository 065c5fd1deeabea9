//! Public keys in their published form: JSON Web Keys (RFC 7517).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037).
    EdDSA,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    RS256,
}

impl Algorithm {
    /// Its name in headers of tokens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDSA => "EdDSA",
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
        }
    }
}

/// Algorithm that signs the tenant's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OurAlgorithm {
    /// Ed25519.
    #[default]
    EdDSA,
    /// ECDSA on P-256 with SHA-256, for clients that do not support Ed25519.
    ES256,
    /// RSA, PKCS #1 v1.5, with SHA-256, for clients that support neither.
    RS256,
}

impl OurAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::EdDSA, Self::ES256, Self::RS256];
}

impl From<OurAlgorithm> for Algorithm {
    fn from(ours: OurAlgorithm) -> Self {
        match ours {
            OurAlgorithm::EdDSA => Self::EdDSA,
            OurAlgorithm::ES256 => Self::ES256,
            OurAlgorithm::RS256 => Self::RS256,
        }
    }
}

/// A public key (JWK), without members that do not belong to the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Jwk {
    /// Key type: `OKP`, `EC` or `RSA`.
    pub kty: String,
    /// Key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Curve: `Ed25519` or `P-256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// Coordinate, base64url-encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Coordinate, base64url-encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Modulus, base64url-encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// Exponent, base64url-encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

impl Jwk {
    /// The only algorithm for which this key is used. It is derived from the key, never from the token. `None`: the key is not supported or
    /// too short.
    pub fn algorithm(&self) -> Option<Algorithm> {
        let (x, y) = (bytes(self.x.as_deref()), bytes(self.y.as_deref()));
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) if x == Some(32) => Some(Algorithm::EdDSA),
            ("EC", Some("P-256")) if x == Some(32) && y == Some(32) => Some(Algorithm::ES256),
            ("RSA", None)
                if bytes(self.n.as_deref()).is_some_and(|bytes| (256..=1024).contains(&bytes))
                    && bytes(self.e.as_deref()).is_some_and(|bytes| (1..=8).contains(&bytes)) =>
            {
                Some(Algorithm::RS256)
            }
            _ => None,
        }
    }
}

/// The number of bytes that a text in base64url (without padding) encodes; `None` if it is not valid.
fn bytes(text: Option<&str>) -> Option<usize> {
    let text = text?;
    let is_one = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (is_one && text.len() % 4 != 1).then(|| text.len() * 3 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kty: &str, crv: Option<&str>) -> Jwk {
        let crv = crv.map(str::to_owned);
        Jwk { kty: kty.to_owned(), kid: None, crv, x: None, y: None, n: None, e: None }
    }

    #[test]
    fn a_key_that_can_verify_nothing_is_of_no_algorithm() {
        let of = |length: usize| Some("A".repeat(length));
        let ed25519 = |x| Jwk { x, ..key("OKP", Some("Ed25519")) }.algorithm();
        assert_eq!(ed25519(of(43)), Some(Algorithm::EdDSA));
        for wrong in [None, of(0), of(42), of(44), Some("=".repeat(43)), Some("x".to_owned())] {
            assert_eq!(ed25519(wrong.clone()), None, "{wrong:?}");
        }
        let p256 = |x, y| Jwk { x, y, ..key("EC", Some("P-256")) }.algorithm();
        assert_eq!(p256(of(43), of(43)), Some(Algorithm::ES256));
        assert_eq!((p256(of(43), None), p256(of(43), of(22))), (None, None));
        let rsa = |n, e| Jwk { n, e, ..key("RSA", None) }.algorithm();
        assert_eq!(rsa(of(342), Some("AQAB".to_owned())), Some(Algorithm::RS256));
        assert_eq!(rsa(of(171), Some("AQAB".to_owned())), None, "1,024 bits");
        assert_eq!((rsa(of(342), None), rsa(None, Some("AQAB".to_owned()))), (None, None));
        assert_eq!(key("oct", None).algorithm(), None);
    }
}
