//! Keys that sign and keys that verify, by algorithm. The key says the algorithm, never the token.

use auth_aggregates::{Algorithm, Jwk};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::common::HeaderOptions;
use jwt_simple::prelude::{
    ECDSAP256KeyPairLike, ECDSAP256PublicKeyLike, ES256KeyPair, ES256PublicKey, Ed25519KeyPair, Ed25519PublicKey,
    EdDSAKeyPairLike, EdDSAPublicKeyLike, JWTClaims, RS256PublicKey, RSAPublicKeyLike, VerificationOptions,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A key that verifies.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a tenant has a few, and they stay where they are")]
pub enum PublicKey {
    /// Ed25519.
    EdDSA(Ed25519PublicKey),
    /// P-256.
    ES256(ES256PublicKey),
    /// RSA.
    RS256(RS256PublicKey),
}

/// A key that signs.
pub enum SecretKey {
    /// Ed25519.
    EdDSA(Ed25519KeyPair),
    /// P-256.
    ES256(ES256KeyPair),
}

/// A key that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key of Ed25519, P-256 or RSA")]
pub struct NotAKey;

impl PublicKey {
    /// The key of a JSON Web Key.
    ///
    /// # Errors
    /// [`NotAKey`].
    pub fn of(jwk: &Jwk) -> Result<Self, NotAKey> {
        let bytes =
            |text: &Option<String>| text.as_ref().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(NotAKey);
        Ok(match jwk.algorithm().ok_or(NotAKey)? {
            Algorithm::EdDSA => Self::EdDSA(Ed25519PublicKey::from_bytes(&bytes(&jwk.x)?).map_err(|_| NotAKey)?),
            Algorithm::ES256 => {
                // Uncompressed, SEC 1.
                let point = [&[4][..], &bytes(&jwk.x)?, &bytes(&jwk.y)?].concat();
                Self::ES256(ES256PublicKey::from_bytes(&point).map_err(|_| NotAKey)?)
            }
            Algorithm::RS256 => {
                let (n, e) = (bytes(&jwk.n)?, bytes(&jwk.e)?);
                Self::RS256(RS256PublicKey::from_components(&n, &e).map_err(|_| NotAKey)?)
            }
        })
    }

    /// The claims of a token that this key signed.
    ///
    /// # Errors
    /// Those of the library.
    pub fn verify<C: Serialize + DeserializeOwned>(
        &self,
        token: &str,
        options: VerificationOptions,
    ) -> Result<JWTClaims<C>, jwt_simple::Error> {
        match self {
            Self::EdDSA(key) => key.verify_token(token, Some(options)),
            Self::ES256(key) => key.verify_token(token, Some(options)),
            Self::RS256(key) => key.verify_token(token, Some(options)),
        }
    }
}

impl SecretKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`NotAKey`] for an algorithm with which we do not sign.
    pub fn generate(algorithm: Algorithm) -> Result<Self, NotAKey> {
        match algorithm {
            Algorithm::EdDSA => Ok(Self::EdDSA(Ed25519KeyPair::generate())),
            Algorithm::ES256 => Ok(Self::ES256(ES256KeyPair::generate())),
            Algorithm::RS256 => Err(NotAKey),
        }
    }

    /// The key of PKCS #8, PEM, which signs under the id `kid`.
    ///
    /// # Errors
    /// [`NotAKey`].
    pub fn from_pem(algorithm: Algorithm, pem: &str, kid: &str) -> Result<Self, NotAKey> {
        match algorithm {
            Algorithm::EdDSA => Ed25519KeyPair::from_pem(pem).map(|key| Self::EdDSA(key.with_key_id(kid))),
            Algorithm::ES256 => ES256KeyPair::from_pem(pem).map(|key| Self::ES256(key.with_key_id(kid))),
            Algorithm::RS256 => return Err(NotAKey),
        }
        .map_err(|_| NotAKey)
    }

    /// PKCS #8, PEM.
    ///
    /// # Errors
    /// [`NotAKey`], if it can't be written.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, NotAKey> {
        match self {
            Self::EdDSA(key) => Ok(Zeroizing::new(key.to_pem())),
            Self::ES256(key) => key.to_pem().map(Zeroizing::new).map_err(|_| NotAKey),
        }
    }

    /// Its public part; the key's id is its thumbprint (RFC 7638), so nobody has to invent one.
    pub fn public(&self) -> Jwk {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::EdDSA(key) => {
                let x = encode(&key.public_key().to_bytes());
                let kid = thumbprint(&format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
                jwk("OKP", "Ed25519", kid, x, None)
            }
            Self::ES256(key) => {
                let point = key.public_key().public_key().to_bytes_uncompressed();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
                let (x, y) = (encode(x), encode(y));
                let kid = thumbprint(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#));
                jwk("EC", "P-256", kid, x, Some(y))
            }
        }
    }

    /// Signs.
    ///
    /// # Errors
    /// Those of the library.
    pub fn sign<C: Serialize>(&self, claims: JWTClaims<C>, typ: &str) -> Result<String, jwt_simple::Error> {
        let header = HeaderOptions { content_type: None, signature_type: Some(typ.to_owned()) };
        match self {
            Self::EdDSA(key) => key.sign_with_options(claims, &header),
            Self::ES256(key) => key.sign_with_options(claims, &header),
        }
    }
}

fn jwk(kty: &str, crv: &str, kid: String, x: String, y: Option<String>) -> Jwk {
    Jwk { kty: kty.to_owned(), kid: Some(kid), crv: Some(crv.to_owned()), x: Some(x), y, n: None, e: None }
}

fn thumbprint(members: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

#[cfg(test)]
mod tests {
    use jwt_simple::prelude::{Claims, Duration};

    use super::*;

    #[test]
    fn what_a_key_signs_its_public_part_verifies_and_no_other() {
        for algorithm in [Algorithm::EdDSA, Algorithm::ES256] {
            let key = SecretKey::generate(algorithm).unwrap();
            let again = SecretKey::from_pem(algorithm, &key.to_pem().unwrap(), "k").unwrap();
            let (public, other) = (key.public(), SecretKey::generate(algorithm).unwrap().public());
            assert_eq!(public, again.public());
            let claims = || Claims::create(Duration::from_mins(1)).with_subject("ada");
            let token = again.sign(claims(), "at+jwt").unwrap();
            let verify = |jwk: &Jwk| {
                let options = VerificationOptions::default();
                PublicKey::of(jwk).unwrap().verify::<serde_json::Value>(&token, options)
            };
            assert_eq!(verify(&public).unwrap().subject.as_deref(), Some("ada"));
            assert!(verify(&other).is_err());
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let good = SecretKey::generate(Algorithm::ES256).unwrap().public();
        for bad in [
            Jwk { x: Some("AAAA".to_owned()), ..good.clone() },
            Jwk { y: None, ..good.clone() },
            Jwk { crv: Some("P-384".to_owned()), ..good.clone() },
            Jwk { kty: "oct".to_owned(), ..good },
        ] {
            assert_eq!(PublicKey::of(&bad).unwrap_err(), NotAKey, "{bad:?}");
        }
    }
}
