//! Verification codes that are sent by text message. They are not stored.
//!
//! A code is a MAC over tenant, user, turn and number under a key of the service, truncated to six digits like one-time passwords (RFC
//! 4226). The user's stream records whether the code is still valid and how many wrong guesses there were. So nobody who reads the log or a
//! database finds a code, or a hash to test guesses against; and a message that could not be sent is created again with the same code.

use hmac::{Hmac, Mac};
use kernel::{Checks, TenantId, UserId};
use sha2::Sha256;

use crate::links::keyed;

const DIGITS: usize = 6;

/// The MAC key for codes.
#[derive(Clone)]
pub struct CodeKey(Hmac<Sha256>);

impl std::fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeKey(…)")
    }
}

/// A code of six digits. It appears only in the message.
#[derive(Clone)]
pub struct Code([u8; DIGITS]);

impl CodeKey {
    /// Derives the key from a secret of the service.
    pub fn derive(secret: &[u8; 32]) -> Self {
        let derived = keyed(secret).chain_update(b"inopsio user phone codes 1").finalize().into_bytes();
        Self(keyed(&derived.into()))
    }

    /// The code of this turn that verifies a user's number.
    pub fn code(&self, tenant: TenantId, user: UserId, turn: u32, number: &str) -> Code {
        let mac = self.0.clone().chain_update(tenant.uuid().as_bytes()).chain_update(user.uuid().as_bytes());
        let mac = mac.chain_update(turn.to_be_bytes()).chain_update(number.as_bytes()).finalize().into_bytes();
        // The remainder of 128 bits, so that the bias towards some codes is negligible.
        let mut rest = mac.iter().take(16).fold(0, |sum: u128, byte| (sum << 8) | u128::from(*byte));
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        Code(digits)
    }
}

impl Code {
    /// Parses a code as entered; spaces and hyphens between the digits are ignored.
    pub(crate) fn read(checks: &mut Checks, pointer: &str, text: &str) -> Self {
        let mut digits = [0; DIGITS];
        let mut entered = text.bytes().filter(|byte| !matches!(byte, b' ' | b'-'));
        for (digit, entered) in digits.iter_mut().zip(entered.by_ref()) {
            *digit = entered;
        }
        if entered.next().is_some() || !digits.iter().all(u8::is_ascii_digit) {
            checks.refuse(pointer, "code", format!("not a code of {DIGITS} digits"));
        }
        Self(digits)
    }
}

impl PartialEq for Code {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(…)")
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn code(secret: u8, tenant: u128, user: u128, turn: u32, number: &str) -> String {
        let (tenant, user) = (TenantId::vouched(Uuid::from_u128(tenant)), UserId::new(Uuid::from_u128(user)));
        CodeKey::derive(&[secret; 32]).code(tenant, user, turn, number).to_string()
    }

    #[test]
    fn a_code_is_of_one_tenant_user_turn_and_number() {
        let one = code(1, 1, 1, 1, "+4930123456");
        assert_eq!(one, code(1, 1, 1, 1, "+4930123456"));
        let others = [
            code(2, 1, 1, 1, "+4930123456"),
            code(1, 2, 1, 1, "+4930123456"),
            code(1, 1, 2, 1, "+4930123456"),
            code(1, 1, 1, 2, "+4930123456"),
            code(1, 1, 1, 1, "+4930123457"),
        ];
        assert!(others.iter().all(|other| *other != one), "{one} {others:?}");
        // All digits occur in all places.
        let many: Vec<String> = (0..1_000).map(|turn| code(1, 1, 1, turn, "")).collect();
        assert!(many.iter().collect::<HashSet<_>>().len() > 990);
        for place in 0..DIGITS {
            assert_eq!(many.iter().map(|code| code.as_bytes()[place]).collect::<HashSet<_>>().len(), 10);
        }
    }

    #[test]
    fn a_code_is_read_as_people_write_it_and_shows_itself_to_nobody() {
        let read = |text: &str| {
            let mut checks = Checks::default();
            let code = Code::read(&mut checks, "/code", text);
            checks.ok().then(|| code.to_string())
        };
        for text in ["012345", " 012 345", "012-345"] {
            assert_eq!(read(text).as_deref(), Some("012345"), "{text:?}");
        }
        for text in ["", "12345", "1234567", "12345x", "１２３４５６", "-"] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert!(!format!("{:?}", Code(*b"012345")).contains("012345"));
    }
}
