//! Passwords: hashed with Argon2id, a few at a time and on low-priority threads, so that sign-ins do not slow down other requests.
//!
//! Keyboards and systems type the same letters in different code points (macOS may send an `e` and an accent, others `é`), so a password is
//! hashed in [one form](Password), as NIST SP 800-63B section 5.1.1.2 recommends.

use std::cmp::Reverse;
use std::iter;
use std::sync::{Arc, OnceLock};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use kernel::Refusal;
use keys::Random;
use zeroize::Zeroizing;

use crate::breaches::{Breaches, is_breached};
use crate::low_priority::at_low_priority;

/// OWASP's recommended parameters for Argon2id: memory in KiB, passes, lanes.
const PARAMETERS: (u32, u32, u32) = (19 * 1_024, 2, 1);

/// The longest password, in characters of the form in which it is hashed: a longer one is not more secure.
pub const LONGEST: usize = 256;

/// The lowest accepted zxcvbn score: 3, "safely unguessable: moderate protection from offline slow-hash scenario".
const STRENGTH: zxcvbn::Score = zxcvbn::Score::Three;

/// The fewest letters of a name that counts for nothing in a password. Shorter ones are parts of too many other words.
const SHORTEST_NAME: usize = 3;

/// A password that somebody typed.
#[derive(Clone)]
pub struct Password {
    /// In the form in which passwords are hashed: normalization form KC.
    normalized: Zeroizing<String>,
    /// As it was typed, if that differs. Passwords were hashed like this before there was a form for them.
    typed: Option<Zeroizing<String>>,
}

impl Password {
    /// A password as it was typed.
    pub fn typed(text: &str) -> Self {
        let normalized = Zeroizing::new(kernel::compatible(text).into_owned());
        let typed = (normalized.as_str() != text).then(|| Zeroizing::new(text.to_owned()));
        Self { normalized, typed }
    }

    /// Whether no password can be like this. (Passwords of at most so many bytes were hashed as they were typed.)
    pub fn is_too_long(&self) -> bool {
        self.normalized.chars().count() > LONGEST && self.typed.as_ref().is_none_or(|typed| typed.len() > LONGEST)
    }

    /// The texts that may have been hashed. How many these are depends on what was typed alone, not on the account.
    fn candidates(&self) -> impl Iterator<Item = &str> {
        iter::once(&self.normalized).chain(&self.typed).map(|text| text.as_str())
    }
}

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
    pub async fn check(&self, password: &Password, about: &[&str]) -> Result<(), Refusal> {
        check_strength(password, about)?;
        match &self.breaches {
            Some(breaches) if is_breached(&**breaches, &password.normalized).await => {
                let detail = "it was seen in a breach of another service, so it is among the first that are tried; choose another one, and \
                              change it wherever else you use it";
                Err(Refusal::field("/password", "password_breached", detail))
            }
            _ => Ok(()),
        }
    }

    /// The hash of a password, as a PHC string.
    ///
    /// # Errors
    /// `sign_in_busy` when too many requests wait.
    pub async fn hash(&self, password: Password, random: &dyn Random) -> Result<String, Refusal> {
        let mut salt = [0; 16];
        random.fill(&mut salt).map_err(crate::authority::refused)?;
        turn(move || hash(&password.normalized, &salt)).await?
    }

    /// Whether a password has this hash, in its form or as it was typed. Without a hash it does not. How long the check takes depends on
    /// what was typed alone: whether the hash is right or missing, as many are computed.
    ///
    /// # Errors
    /// `sign_in_busy` when too many requests wait.
    pub async fn verify(&self, password: Password, phc: Option<String>) -> Result<bool, Refusal> {
        let known = phc.is_some();
        let phc = match phc {
            Some(phc) => phc,
            None => self.nobodys().await?,
        };
        let same = turn(move || {
            let verifies = |text: &str| {
                PasswordHash::new(&phc).is_ok_and(|hash| argon2().verify_password(text.as_bytes(), &hash).is_ok())
            };
            // Not `any`, which would stop at the first that is right.
            password.candidates().map(verifies).filter(|right| *right).count() > 0
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
pub fn check_strength(password: &Password, about: &[&str]) -> Result<(), Refusal> {
    let password = password.normalized.as_str();
    let refuse = |code, detail: String| Err(Refusal::field("/password", code, detail));
    if password.chars().count() > LONGEST {
        return refuse("too_long", format!("a password has at most {LONGEST} characters"));
    }
    if password.contains(char::is_control) {
        let detail = "a password can't contain control characters, such as a tab: not every keyboard can type them";
        return refuse("control_character", detail.to_owned());
    }
    // Each name counts as a whole and in parts.
    let parts = about.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    let about: Vec<_> = about.iter().copied().chain(parts).filter(|text| !text.is_empty()).collect();
    let entropy = zxcvbn::zxcvbn(password, &about);
    if entropy.score() >= STRENGTH {
        // zxcvbn takes four words for hard to guess, even if each of them is a name that would be tried first.
        let lower = Zeroizing::new(password.to_lowercase());
        let rest = without(&lower, &about);
        if rest == lower || zxcvbn::zxcvbn(&rest, &[]).score() >= STRENGTH {
            return Ok(());
        }
        let detail = "this password is too easily guessed: it is made of your name, your address or the name of this place. Add uncommon \
                      words that have nothing to do with you.";
        return refuse("weak", detail.to_owned());
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

/// A text in lower case, without these names.
fn without(lower: &str, names: &[&str]) -> Zeroizing<String> {
    let mut names: Vec<_> = names.iter().map(|name| kernel::compatible(name).to_lowercase()).collect();
    names.retain(|name| name.chars().count() >= SHORTEST_NAME);
    // The longest first, because a shorter one may be a part of it.
    names.sort_unstable_by_key(|name| Reverse(name.len()));
    let all = Zeroizing::new(lower.to_owned());
    names.iter().fold(all, |rest, name| Zeroizing::new(rest.replace(name.as_str(), "")))
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
        let text = Password::typed;
        let phc = passwords.hash(text("correct horse"), &SystemRandom).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(phc, passwords.hash(text("correct horse"), &SystemRandom).await.unwrap(), "salted");
        assert!(passwords.verify(text("correct horse"), Some(phc.clone())).await.unwrap());
        assert!(!passwords.verify(text("correct house"), Some(phc)).await.unwrap());
        assert!(!passwords.verify(text("nobody's password"), None).await.unwrap());
    }

    #[test]
    fn a_password_that_is_easily_guessed_is_refused_with_advice() {
        for weak in ["", "password1", "qwertyuiop", "lovelace1", "Acme2026", "ｐａｓｓｗｏｒｄ１"] {
            let weak = Password::typed(weak);
            let refusal = check_strength(&weak, &["Ada Lovelace", "ada@example.com", "Acme"]).unwrap_err();
            assert_eq!(
                (refusal.errors()[0].pointer.as_str(), refusal.errors()[0].code),
                ("/password", "weak"),
                "{}",
                *weak.normalized
            );
        }
        assert_eq!(check_strength(&Password::typed("tin-roof-ocelot-parable"), &["ada"]), Ok(()));
    }

    #[test]
    fn names_count_for_nothing_in_a_password() {
        let about = ["Ada Lovelace", "ada@example.com", "Käthe", "Acme", "Y"];
        let code =
            |text: &str| check_strength(&Password::typed(text), &about).map_err(|refusal| refusal.errors()[0].code);
        for weak in
            ["AdaLovelace2026!", "acme Ada acme Lovelace", "Lovelace.ada@EXAMPLE.com1", "KA\u{308}THE-Acme-käthe-ada"]
        {
            assert_eq!(code(weak), Err("weak"), "{weak}");
        }
        assert_eq!(code("ada-tin-roof-ocelot"), Ok(()), "what is beside the name is hard to guess");
        assert_eq!(code("sunny-yellow-ocelot-parable"), Ok(()), "a name of one letter is in many words");
    }

    #[test]
    fn a_password_is_as_long_as_it_is_hashed() {
        let code = |text: &str| check_strength(&Password::typed(text), &[]).map_err(|refusal| refusal.errors()[0].code);
        // Each accent becomes a part of its letter.
        let longest = "tin-roof-ocele\u{301}t-parable ".repeat(10) + "tin-roof-ocelots";
        assert_eq!((longest.chars().count(), kernel::composed(&longest).chars().count()), (266, 256));
        assert_eq!(code(&longest), Ok(()));
        assert_eq!(code(&format!("{longest}x")), Err("too_long"));
        assert_eq!(code(&"\u{fdfa}".repeat(15)), Err("too_long"));
        assert_eq!(code("tin-roof\tocelot-parable"), Err("control_character"));
        // A password from before was at most so many bytes, as they were typed.
        assert!(!Password::typed(&"\u{fdfa}".repeat(85)).is_too_long());
        assert!(
            Password::typed(&"\u{fdfa}".repeat(86)).is_too_long() && Password::typed(&"x".repeat(257)).is_too_long()
        );
        assert!(!Password::typed(&longest).is_too_long());
    }

    #[tokio::test]
    async fn what_was_hashed_as_it_was_typed_is_verified_as_it_is_typed() {
        let (passwords, decomposed) = (Passwords::default(), "cafe\u{301} ocelot");
        let verifies = async |typed: &str, phc: &str| {
            passwords.verify(Password::typed(typed), Some(phc.to_owned())).await.unwrap()
        };
        let before = hash(decomposed, &[7; 16]).unwrap();
        assert!(verifies(decomposed, &before).await);
        assert!(!verifies("café ocelot", &before).await, "nobody knows how it was typed");
        let now = passwords.hash(Password::typed(decomposed), &SystemRandom).await.unwrap();
        for typed in [decomposed, "café ocelot", "café\u{3000}ｏｃｅｌｏｔ"] {
            assert!(verifies(typed, &now).await, "{typed:?}");
        }
        assert!(!verifies("cafe ocelot", &now).await);
    }
}
