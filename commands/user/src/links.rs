//! Tokens in links that are sent by mail. They are not stored.
//!
//! A token contains its purpose, the tenant, an id (of the invitation or user) and a turn, with a MAC over them under a key of the service.
//! The aggregate itself knows whether the link is still valid, because it counts turns and expiry. So no secret is stored, a mail that
//! could not be sent is created again with the same link, and a forged link costs one MAC and no database read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use kernel::TenantId;
use sha2::Sha256;
use uuid::Uuid;

const BODY: usize = 1 + 16 + 16 + 4;
const MAC: usize = 32;

/// The purpose of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Accepting an invitation.
    Invitation,
    /// Verifying an e-mail address.
    Email,
}

impl Purpose {
    const fn byte(self) -> u8 {
        match self {
            Self::Invitation => 1,
            Self::Email => 2,
        }
    }
}

/// A parsed link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub purpose: Purpose,
    pub tenant: TenantId,
    /// The id of the invitation or user.
    pub id: Uuid,
    /// The number of the link: each new link for the same id increases it.
    pub turn: u32,
}

impl Link {
    /// The tenant that the text of a link names. It is not verified: it only tells which cell can verify the link.
    pub fn claimed_tenant(text: &str) -> Option<Uuid> {
        let bytes = decoded(text)?;
        let (body, _) = bytes.split_at_checked(BODY)?;
        Uuid::from_slice(body.get(1..17)?).ok()
    }
}

/// The bytes of a text that is no longer than a link.
fn decoded(text: &str) -> Option<Vec<u8>> {
    // Longer texts are refused before decoding.
    (text.len() < 128).then(|| URL_SAFE_NO_PAD.decode(text).ok())?
}

/// The MAC key for links.
#[derive(Clone)]
pub struct LinkKey(Hmac<Sha256>);

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey(…)")
    }
}

impl LinkKey {
    /// Derives the key from a secret of the service.
    pub fn derive(secret: &[u8; 32]) -> Self {
        let mut derived = keyed(secret);
        derived.update(b"inopsio user links 1");
        let key: [u8; 32] = derived.finalize().into_bytes().into();
        Self(keyed(&key))
    }

    /// The text of a link: letters, digits, `-` and `_` (base64url).
    pub fn write(&self, link: &Link) -> String {
        let mut bytes = Vec::with_capacity(BODY + MAC);
        bytes.push(link.purpose.byte());
        bytes.extend_from_slice(link.tenant.uuid().as_bytes());
        bytes.extend_from_slice(link.id.as_bytes());
        bytes.extend_from_slice(&link.turn.to_be_bytes());
        let mac = self.0.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Parses and verifies a link for this purpose; `None` if it is not one of ours.
    #[expect(clippy::disallowed_methods, reason = "a MAC of ours vouches for the tenant")]
    pub fn read(&self, purpose: Purpose, text: &str) -> Option<Link> {
        let bytes = decoded(text)?;
        let (body, mac) = bytes.split_at_checked(BODY)?;
        self.0.clone().chain_update(body).verify_slice(mac).ok()?;
        let (kind, rest) = body.split_first()?;
        let (tenant, rest) = rest.split_at_checked(16)?;
        let (id, turn) = rest.split_at_checked(16)?;
        if *kind != purpose.byte() {
            return None;
        }
        Some(Link {
            purpose,
            tenant: TenantId::vouched(Uuid::from_slice(tenant).ok()?),
            id: Uuid::from_slice(id).ok()?,
            turn: u32::from_be_bytes(turn.try_into().ok()?),
        })
    }
}

pub(crate) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // A key as long as the block is taken as it is; padding a shorter one with zeros is what HMAC itself does.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    Hmac::new(&block.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's tenants")]
    fn link(tenant: u128, id: u128, turn: u32) -> Link {
        let tenant = TenantId::vouched(Uuid::from_u128(tenant));
        Link { purpose: Purpose::Invitation, tenant, id: Uuid::from_u128(id), turn }
    }

    proptest! {
        #[test]
        fn a_link_comes_back_as_it_was_made(tenant: u128, id: u128, turn: u32) {
            let key = LinkKey::derive(&[7; 32]);
            let link = link(tenant, id, turn);
            prop_assert_eq!(key.read(Purpose::Invitation, &key.write(&link)), Some(link));
        }

        #[test]
        fn a_link_that_was_changed_anywhere_is_none(place in 0_usize..92, letter in "[A-Za-z0-9_-]") {
            let key = LinkKey::derive(&[7; 32]);
            let mut text = key.write(&link(1, 2, 3));
            prop_assume!(text[place..=place] != letter);
            text.replace_range(place..=place, &letter);
            prop_assert_eq!(key.read(Purpose::Invitation, &text), None);
        }
    }

    #[test]
    fn a_link_is_good_under_its_key_and_for_its_purpose_only() {
        let (key, other) = (LinkKey::derive(&[7; 32]), LinkKey::derive(&[8; 32]));
        let text = key.write(&link(1, 2, 3));
        assert_eq!(text.len(), 92);
        assert_eq!(other.read(Purpose::Invitation, &text), None);
        assert_eq!(key.read(Purpose::Email, &text), None);
        for nonsense in ["", "x", &text[..91], &format!("{text}A"), &"A".repeat(92), &"A".repeat(100_000), "ä"] {
            assert_eq!(key.read(Purpose::Invitation, nonsense), None);
        }
    }

    #[test]
    fn whoever_has_no_key_reads_only_whose_a_link_claims_to_be() {
        let text = LinkKey::derive(&[7; 32]).write(&link(1, 2, 3));
        assert_eq!(Link::claimed_tenant(&text), Some(Uuid::from_u128(1)));
        for nonsense in ["", "x", "ä", &"A".repeat(128)] {
            assert_eq!(Link::claimed_tenant(nonsense), None, "{nonsense}");
        }
    }
}
