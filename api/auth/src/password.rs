//! Passwords: hashed with Argon2id, a few at a time and on low-priority threads, so that sign-ins do not slow down other requests.

use std::sync::{Arc, OnceLock};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use kernel::{FieldError, Refusal};
use keys::Random;
use zeroize::Zeroizing;

use crate::breaches::{Breaches, is_breached};
use crate::low_priority::at_low_priority;

/// OWASP's recommended parameters for Argon2id: memory in KiB, passes, lanes.
const PARAMETERS: (u32, u32, u32) = (19 * 1_024, 2, 1);

/// The longest password, in bytes: a longer one is not more secure, and takes time to hash.
pub const LONGEST: usize = 256;

/// The lowest accepted zxcvbn score: 3, "safely unguessable: moderate protection from offline slow-hash scenario".
const STRENGTH: zxcvbn::Score = zxcvbn::Score::Three;

/// Hashes, verifies and checks passwords. There is one instance per process.
#[derive(Default)]
pub struct Passwords {
    /// The hash that is verified for an account without a password, so that it takes as long.
    nobody: OnceLock<String>,
    /// The list of breached passwords; none: it is not consulted.
    breaches: Option<Arc<dyn Breaches>>,
}

impl Passwords {
    /// Adds a list of breached passwords.
    #[must_use]
    pub fn against(self, breaches: Option<Arc<dyn Breaches>>) -> Self {
        Self { breaches, ..self }
    }

    /// Refuses a new password that is easily guessed, or was found in a breach. `about`: words that an attacker would try first.
    ///
    /// # Errors
    /// With advice on how to improve it; `password_breached` when it was found in a breach.
    pub async fn check(&self, password: &str, about: &[&str]) -> Result<(), Refusal> {
        check_strength(password, about)?;
        match &self.breaches {
            Some(breaches) if is_breached(&**breaches, password).await => {
                let detail = "it was seen in a breach of another service, so it is among the first that are tried; choose another one, and \
                              change it wherever else you use it";
                let (pointer, detail) = ("/password".to_owned(), detail.to_owned());
                Err(Refusal::fields(vec![FieldError { pointer, code: "password_breached", detail }]))
            }
            _ => Ok(()),
        }
    }

    /// The hash of a password, as a PHC string.
    ///
    /// # Errors
    /// `sign_in_busy` when too many requests wait.
    pub async fn hash(&self, password: Zeroizing<String>, random: &dyn Random) -> Result<String, Refusal> {
        let mut salt = [0; 16];
        random.fill(&mut salt).map_err(crate::authority::refused)?;
        turn(move || hash(&password, &salt)).await?
    }

    /// Whether a password has this hash. Without a hash it does not, and the check takes as long.
    ///
    /// # Errors
    /// `sign_in_busy` when too many requests wait.
    pub async fn verify(&self, password: Zeroizing<String>, phc: Option<String>) -> Result<bool, Refusal> {
        let known = phc.is_some();
        let phc = match phc {
            Some(phc) => phc,
            None => self.nobodys().await?,
        };
        let same = turn(move || {
            PasswordHash::new(&phc).is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await?;
        Ok(same && known)
    }

    /// The hash for accounts without a password.
    async fn nobodys(&self) -> Result<String, Refusal> {
        if let Some(nobody) = self.nobody.get() {
            return Ok(nobody.clone());
        }
        let nobody = turn(|| hash("nobody's password", &[0; 16])).await??;
        Ok(self.nobody.get_or_init(|| nobody).clone())
    }
}

async fn turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let failed = || Refusal::internal("sign_in_failed", "the password could not be checked; see the log");
    at_low_priority(work).await.map_err(|not_done| not_done.refusal(failed))
}

/// Refuses a password that is easily guessed. `about`: words that an attacker would try first, such as the person's name.
///
/// # Errors
/// With advice on how to improve it.
pub fn check_strength(password: &str, about: &[&str]) -> Result<(), Refusal> {
    let refuse =
        |code, detail: String| Err(Refusal::fields(vec![FieldError { pointer: "/password".to_owned(), code, detail }]));
    if password.len() > LONGEST {
        return refuse("too_long", format!("a password has at most {LONGEST} bytes"));
    }
    // Each name counts as a whole and in parts.
    let parts = about.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    let about: Vec<_> = about.iter().copied().chain(parts).filter(|text| !text.is_empty()).collect();
    let entropy = zxcvbn::zxcvbn(password, &about);
    if entropy.score() >= STRENGTH {
        return Ok(());
    }
    let advice = entropy.feedback().map(|feedback| {
        let warning = feedback.warning().map(|warning| format!("{warning} "));
        let suggestions = feedback.suggestions().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        format!("{}{suggestions}", warning.unwrap_or_default())
    });
    let advice = advice.filter(|advice| !advice.is_empty());
    let advice = advice.unwrap_or_else(|| "Add another word or two. Uncommon words are better.".to_owned());
    refuse("weak", format!("this password is too easily guessed. {advice}"))
}

fn argon2() -> Argon2<'static> {
    let (memory, passes, lanes) = PARAMETERS;
    // The parameters are constants within the allowed range, so the fallback to the defaults (which are the same) never happens.
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(memory, passes, lanes, None).unwrap_or_default())
}

fn hash(password: &str, salt: &[u8]) -> Result<String, Refusal> {
    let failed = |error: argon2::password_hash::Error| {
        tracing::error!(%error, "a password can't be hashed");
        Refusal::internal("sign_in_failed", "the password could not be hashed; see the log")
    };
    let salt = SaltString::encode_b64(salt).map_err(failed)?;
    Ok(argon2().hash_password(password.as_bytes(), &salt).map_err(failed)?.to_string())
}

#[cfg(test)]
mod tests {
    use keys::SystemRandom;

    use super::*;

    #[tokio::test]
    async fn a_password_is_verified_against_its_own_hash_and_nobodys_is_never_right() {
        let passwords = Passwords::default();
        let text = |text: &str| Zeroizing::new(text.to_owned());
        let phc = passwords.hash(text("correct horse"), &SystemRandom).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(phc, passwords.hash(text("correct horse"), &SystemRandom).await.unwrap(), "salted");
        assert!(passwords.verify(text("correct horse"), Some(phc.clone())).await.unwrap());
        assert!(!passwords.verify(text("correct house"), Some(phc)).await.unwrap());
        assert!(!passwords.verify(text("nobody's password"), None).await.unwrap());
    }

    #[test]
    fn a_password_that_is_easily_guessed_is_refused_with_advice() {
        for weak in ["", "password1", "qwertyuiop", "lovelace1", "Acme2026"] {
            let refusal = check_strength(weak, &["Ada Lovelace", "ada@example.com", "Acme"]).unwrap_err();
            assert_eq!(
                (refusal.errors()[0].pointer.as_str(), refusal.errors()[0].code),
                ("/password", "weak"),
                "{weak}"
            );
        }
        assert_eq!(check_strength("tin-roof-ocelot-parable", &["ada"]), Ok(()));
        assert_eq!(check_strength(&"x".repeat(300), &[]).unwrap_err().errors()[0].code, "too_long");
    }
}
