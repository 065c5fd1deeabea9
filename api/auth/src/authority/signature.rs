//! Signing keys and verification keys, by algorithm. The algorithm is that of the key, never the one in the token's header.

use auth_aggregates::{Algorithm, Jwk};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::common::HeaderOptions;
use jwt_simple::prelude::{
    ECDSAP256KeyPairLike, ECDSAP256PublicKeyLike, ES256KeyPair, ES256PublicKey, Ed25519KeyPair, Ed25519PublicKey,
    EdDSAKeyPairLike, EdDSAPublicKeyLike, JWTClaims, RS256PublicKey, RSAPublicKeyLike, VerificationOptions,
};
use keys::RsaKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A public key, which verifies signatures.
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

/// A private key, which signs.
pub enum SecretKey {
    /// Ed25519.
    EdDSA(Ed25519KeyPair),
    /// P-256.
    ES256(ES256KeyPair),
    /// RSA. It is signed by our own [`RsaKey`]: jwt-simple uses the crate `rsa`, whose timing leaks information about the key.
    RS256 {
        /// The private key.
        key: RsaKey,
        /// Its key id.
        kid: String,
    },
}

/// A generated key.
pub struct GeneratedKey {
    /// PKCS #8, as PEM (for RSA: DER), to be sealed.
    pub private: Zeroizing<Vec<u8>>,
    /// The public key. Its id is its thumbprint (RFC 7638).
    pub public: Jwk,
}

/// The key is malformed or of an unsupported type.
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
                // An uncompressed point (SEC 1).
                let point = [&[4][..], &bytes(&jwk.x)?, &bytes(&jwk.y)?].concat();
                Self::ES256(ES256PublicKey::from_bytes(&point).map_err(|_| NotAKey)?)
            }
            Algorithm::RS256 => {
                let (n, e) = (bytes(&jwk.n)?, bytes(&jwk.e)?);
                Self::RS256(RS256PublicKey::from_components(&n, &e).map_err(|_| NotAKey)?)
            }
        })
    }

    /// Verifies a token that this key signed, and returns its claims.
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
    /// Generates a key.
    ///
    /// # Errors
    /// [`NotAKey`], if it can't be encoded.
    pub fn generate(algorithm: Algorithm) -> Result<GeneratedKey, NotAKey> {
        Ok(match algorithm {
            Algorithm::EdDSA => {
                let key = Ed25519KeyPair::generate();
                let x = encode(key.public_key().to_bytes());
                let kid = thumbprint(&format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
                let private = Zeroizing::new(key.to_pem().into_bytes());
                GeneratedKey { private, public: curve("OKP", "Ed25519", kid, x, None) }
            }
            Algorithm::ES256 => {
                let key = ES256KeyPair::generate();
                let point = key.public_key().public_key().to_bytes_uncompressed();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
                let (x, y) = (encode(x), encode(y));
                let kid = thumbprint(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#));
                let private = Zeroizing::new(key.to_pem().map_err(|_| NotAKey)?.into_bytes());
                GeneratedKey { private, public: curve("EC", "P-256", kid, x, Some(y)) }
            }
            Algorithm::RS256 => {
                let private = RsaKey::generate().map_err(|_| NotAKey)?;
                let (n, e) = RsaKey::from_pkcs8(&private).map_err(|_| NotAKey)?.public();
                let (n, e) = (encode(&n), encode(&e));
                let kid = thumbprint(&format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#));
                GeneratedKey { private, public: rsa(kid, n, e) }
            }
        })
    }

    /// Reads a PKCS #8 key, as PEM (for RSA: DER), which signs with the key id `kid`.
    ///
    /// # Errors
    /// [`NotAKey`].
    pub fn of(algorithm: Algorithm, private: &[u8], kid: &str) -> Result<Self, NotAKey> {
        let pem = || std::str::from_utf8(private).map_err(|_| NotAKey);
        Ok(match algorithm {
            Algorithm::EdDSA => Self::EdDSA(Ed25519KeyPair::from_pem(pem()?).map_err(|_| NotAKey)?.with_key_id(kid)),
            Algorithm::ES256 => Self::ES256(ES256KeyPair::from_pem(pem()?).map_err(|_| NotAKey)?.with_key_id(kid)),
            Algorithm::RS256 => {
                Self::RS256 { key: RsaKey::from_pkcs8(private).map_err(|_| NotAKey)?, kid: kid.to_owned() }
            }
        })
    }

    /// Signs a token. `typ`: the type in its header.
    ///
    /// # Errors
    /// Those of the library.
    pub fn sign<C: Serialize>(&self, claims: JWTClaims<C>, typ: &str) -> Result<String, jwt_simple::Error> {
        let header = HeaderOptions { content_type: None, signature_type: Some(typ.to_owned()) };
        match self {
            Self::EdDSA(key) => key.sign_with_options(claims, &header),
            Self::ES256(key) => key.sign_with_options(claims, &header),
            Self::RS256 { key, kid } => {
                let header = json!({ "alg": Algorithm::RS256.as_str(), "kid": kid, "typ": typ });
                let signed = [header.to_string(), serde_json::to_string(&claims)?].map(encode).join(".");
                let signature = key.sign(signed.as_bytes())?;
                Ok(format!("{signed}.{}", encode(signature)))
            }
        }
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn curve(kty: &str, crv: &str, kid: String, x: String, y: Option<String>) -> Jwk {
    Jwk { kty: kty.to_owned(), kid: Some(kid), crv: Some(crv.to_owned()), x: Some(x), y, n: None, e: None }
}

fn rsa(kid: String, n: String, e: String) -> Jwk {
    Jwk { kty: "RSA".to_owned(), kid: Some(kid), crv: None, x: None, y: None, n: Some(n), e: Some(e) }
}

fn thumbprint(members: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

#[cfg(test)]
mod tests {
    use jwt_simple::prelude::{Claims, Duration, Token};

    use super::*;

    #[test]
    fn what_a_key_signs_its_public_part_verifies_and_no_other() {
        for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
            let GeneratedKey { private, public } = SecretKey::generate(algorithm).unwrap();
            let (key, other) =
                (SecretKey::of(algorithm, &private, "k").unwrap(), SecretKey::generate(algorithm).unwrap().public);
            assert_eq!(public.algorithm(), Some(algorithm));
            let claims = Claims::create(Duration::from_mins(1)).with_subject("ada");
            let token = key.sign(claims, "at+jwt").unwrap();
            let said = Token::decode_metadata(&token).unwrap();
            let said = (said.algorithm(), said.key_id(), said.signature_type());
            assert_eq!(said, (algorithm.as_str(), Some("k"), Some("at+jwt")));
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
        let good = SecretKey::generate(Algorithm::ES256).unwrap().public;
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
