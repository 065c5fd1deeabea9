//! Signatures according to the Standard Webhooks specification: HMAC-SHA256 over id, time and body.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::RandomSource;

/// The prefix of a secret in text form.
const PREFIX: &str = "whsec_";

/// The secret that sender and receiver share. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A new secret: 32 random bytes.
    pub fn new(random: &dyn RandomSource) -> Self {
        let mut bytes = vec![0; 32];
        random.fill(&mut bytes);
        Self(bytes)
    }

    /// A secret from stored bytes.
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for storage.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text form in which receivers configure it: `whsec_` and base64.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The value of the header `webhook-signature`: one signature per secret. Receivers accept the message if they know one of the secrets.
pub fn sign<'a>(secrets: impl IntoIterator<Item = &'a Secret>, id: &str, at: DateTime<Utc>, body: &[u8]) -> String {
    let time = at.timestamp().to_string();
    let signatures = secrets.into_iter().filter_map(|secret| {
        // HMAC accepts keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).ok()?;
        for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
            mac.update(part);
        }
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret(STANDARD.decode(text.strip_prefix(PREFIX).unwrap()).unwrap())
    }

    #[test]
    fn it_signs_as_the_specification_does() {
        let known = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let signature = sign([&known], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let other = Secret(vec![7; 32]);
        let both = sign([&known, &other], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        assert!(both.starts_with(&format!("{signature} v1,")) && both.matches("v1,").count() == 2, "{both}");
    }

    #[test]
    fn a_secret_is_text_for_receivers_and_nothing_for_logs() {
        let new = Secret::new(&crate::SystemRandomSource);
        assert_eq!(secret(&new.reveal()), new);
        assert_ne!(Secret::new(&crate::SystemRandomSource), new);
        assert_eq!(format!("{new:?}"), "Secret(…)");
    }
}
