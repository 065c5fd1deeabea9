//! One-time codes of authenticator apps (TOTP, RFC 6238, with the parameters that all apps support: SHA-1, six digits, 30 seconds), and
//! recovery codes.

use chrono::{DateTime, Utc};
use kernel::Refusal;
use keys::Random;
use qrcode::QrCode;
use qrcode::render::svg;
use sha2::{Digest, Sha256};
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

/// The length of a secret, in bytes.
const SECRET: usize = 20;

/// The number of recovery codes of a user, and the length of each, in bytes.
const RECOVERY_CODES: usize = 10;
const RECOVERY: usize = 10;

/// The secret shared with an authenticator app.
pub struct Authenticator {
    secret: Zeroizing<[u8; SECRET]>,
}

impl Authenticator {
    /// Generates a secret.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn generate(random: &dyn Random) -> Result<Self, Refusal> {
        let mut secret = Zeroizing::new([0; SECRET]);
        random.fill(&mut *secret).map_err(crate::authority::refused)?;
        Ok(Self { secret })
    }

    /// Reads a stored secret; none: it has the wrong length.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Some(Self { secret: Zeroizing::new(bytes.try_into().ok()?) })
    }

    /// Its bytes, to be sealed and stored.
    pub fn bytes(&self) -> &[u8] {
        &*self.secret
    }

    /// The time step of a code that is valid at a time, tolerating one step in both directions; none: the code is wrong.
    pub fn step_of(&self, code: &str, at: DateTime<Utc>) -> Option<u64> {
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let digits = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
        let totp = self.totp("", "")?;
        digits.then(|| totp.check(&code, at.timestamp().max(0).unsigned_abs()))?
    }

    /// The code at a time.
    pub fn code(&self, at: DateTime<Utc>) -> Option<String> {
        Some(self.totp("", "")?.generate(at.timestamp().max(0).unsigned_abs()).to_string())
    }

    /// The secret in base32, for typing.
    pub fn text(&self) -> String {
        Secret::new(self.secret.to_vec().into()).to_base32()
    }

    /// The `otpauth` URL with the secret. `issuer`, `account`: its name in the app.
    pub fn link(&self, issuer: &str, account: &str) -> Option<String> {
        self.totp(issuer, account)?.to_url().ok()
    }

    /// The QR code (SVG) of a link, for scanning.
    pub fn picture(link: &str) -> Option<String> {
        let code = QrCode::new(link.as_bytes()).ok()?;
        let picture = code.render::<svg::Color<'_>>().min_dimensions(200, 200).build();
        // Only the `svg` element, to be embedded in a page.
        picture.find("<svg").map(|start| picture[start..].to_owned())
    }

    fn totp(&self, issuer: &str, account: &str) -> Option<Totp> {
        // A colon separates issuer and account in the URL.
        let named = |name: &str| name.replace(':', " ");
        let builder = Builder::new().with_secret(self.secret.to_vec()).with_account_name(named(account));
        let builder = if issuer.is_empty() { builder } else { builder.with_issuer(Some(named(issuer))) };
        builder.build().ok()
    }
}

/// Generates recovery codes, which are shown only once.
///
/// # Errors
/// When the source of randomness fails.
pub fn recovery_codes(random: &dyn Random) -> Result<Vec<String>, Refusal> {
    (0..RECOVERY_CODES)
        .map(|_| {
            let mut bytes = Zeroizing::new([0; RECOVERY]);
            random.fill(&mut *bytes).map_err(crate::authority::refused)?;
            let text = Secret::new(bytes.to_vec().into()).to_base32().to_lowercase();
            Ok(text
                .as_bytes()
                .chunks(4)
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect::<Vec<_>>()
                .join("-"))
        })
        .collect()
}

/// The stored hash of a recovery code, whatever its separators and case: SHA-256, hexadecimal.
pub fn recovery_hash(code: &str) -> String {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    hex::encode(Sha256::digest(plain.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use keys::SystemRandom;

    use super::*;

    /// RFC 6238, appendix B: its secret, and codes of it, to six digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let authenticator = Authenticator::of(b"12345678901234567890").unwrap();
        for (second, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (2_000_000_000, "279037")]
        {
            let at = DateTime::from_timestamp(second, 0).unwrap();
            assert_eq!(authenticator.code(at).as_deref(), Some(code), "at {second}");
            let step = second.unsigned_abs() / 30;
            for drift in [-30, 0, 30] {
                assert_eq!(authenticator.step_of(code, at + TimeDelta::seconds(drift)), Some(step), "{drift} s off");
            }
            assert_eq!(authenticator.step_of(code, at + TimeDelta::seconds(61)), None);
            assert_eq!(
                authenticator.step_of(&format!("{} {}", &code[..3], &code[3..]), at),
                Some(step),
                "typed in two parts"
            );
        }
        for nonsense in ["", "28708", "2870820", "28708x", "²87082"] {
            assert_eq!(authenticator.step_of(nonsense, DateTime::from_timestamp(59, 0).unwrap()), None, "{nonsense}");
        }
    }

    #[test]
    fn the_picture_is_an_element_and_the_names_do_not_break_its_link() {
        let link = Authenticator::generate(&SystemRandom).unwrap().link("Acme: \"<Co>\"", "a:b@example.com").unwrap();
        assert!(link.starts_with("otpauth://totp/") && !link.contains(['"', '<', ' ']), "{link}");
        let picture = Authenticator::picture(&link).unwrap();
        assert!(picture.starts_with("<svg") && !picture.contains("style="), "{}", &picture[..80]);
    }

    #[test]
    fn a_recovery_code_is_known_however_it_was_typed() {
        let codes = recovery_codes(&SystemRandom).unwrap();
        assert_eq!(codes.iter().collect::<std::collections::BTreeSet<_>>().len(), 10);
        for code in codes {
            assert_eq!((code.len(), recovery_hash(&code)), (19, recovery_hash(&code.replace('-', " ").to_uppercase())));
        }
    }
}
