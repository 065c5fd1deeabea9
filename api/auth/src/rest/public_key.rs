//! Public keys in requests.

use auth_aggregates::Jwk;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A public key (JWK, RFC 7517). Other members that a public key may have, such as `use` and `alg`, are ignored. A private key is refused.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PublicKey {
    /// Key type: `OKP`, `EC` or `RSA`.
    kty: String,
    /// Key id.
    #[serde(default)]
    kid: Option<String>,
    /// Curve: `Ed25519` or `P-256`.
    #[serde(default)]
    crv: Option<String>,
    /// Coordinate, base64url-encoded.
    #[serde(default)]
    x: Option<String>,
    /// Coordinate, base64url-encoded.
    #[serde(default)]
    y: Option<String>,
    /// Modulus, base64url-encoded.
    #[serde(default)]
    n: Option<String>,
    /// Exponent, base64url-encoded.
    #[serde(default)]
    e: Option<String>,
    // All members of RFC 7518 that only private and symmetric keys have.
    #[serde(
        default,
        rename = "d",
        alias = "p",
        alias = "q",
        alias = "dp",
        alias = "dq",
        alias = "qi",
        alias = "oth",
        alias = "k",
        deserialize_with = "private"
    )]
    #[schemars(skip)]
    nothing_private: (),
}

/// Refuses a member that must be known to nobody else. To drop it would hide from the sender that they gave it away.
fn private<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(D::Error::custom("this belongs to a private key: use another key, and send only its public members"))
}

impl From<PublicKey> for Jwk {
    fn from(key: PublicKey) -> Self {
        let PublicKey { kty, kid, crv, x, y, n, e, nothing_private: () } = key;
        Self { kty, kid, crv, x, y, n, e }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_key_is_public_in_every_member() {
        let read = |more: Value| {
            let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" });
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<PublicKey>(key).map(|key| Jwk::from(key).kid).map_err(|error| error.to_string())
        };
        assert_eq!(read(json!({ "kid": "1", "use": "sig", "alg": "EdDSA" })), Ok(Some("1".to_owned())));
        assert_eq!(read(json!({ "kid": null })), Ok(None));
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            for value in [json!("AAAA"), json!(null), json!([])] {
                let refused = read(json!({ member: value })).unwrap_err();
                assert!(refused.contains("private key"), "{member}: {refused}");
            }
        }
    }
}
