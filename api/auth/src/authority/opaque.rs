//! Opaque tokens: codes, refresh tokens, cookies and links. They are not stored: each contains the id that it belongs to, with a MAC under
//! the tenant's key. Whether it is still valid, the aggregate with that id decides.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::TenantId;
use keys::{Context, DataKey};
use uuid::Uuid;

/// The use of an opaque token. It is not valid for any other use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// An authorization code.
    Code,
    /// A refresh token.
    Refresh,
    /// The cookie of a session.
    Session,
    /// A device code, with which a device polls for its tokens.
    Device,
    /// A link to set a password.
    Password,
    /// The id of a SAML request to an identity provider.
    SamlRequest,
    /// The cookie of a browser in which a user signed in before. It only affects how attempts are rate-limited.
    Browser,
}

/// The content of an opaque token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// The id of the grant, session, device, user or request.
    pub id: Uuid,
    /// Its number, for ids that get several tokens over time.
    pub generation: u32,
}

const MAC: usize = 32;
const LENGTH: usize = 16 + 4 + MAC;

impl Use {
    const fn purpose(self) -> &'static str {
        match self {
            Self::Code => "auth.code",
            Self::Refresh => "auth.refresh",
            Self::Session => "auth.session",
            Self::Device => "auth.device",
            Self::Password => "auth.password_link",
            Self::SamlRequest => "auth.saml_request",
            Self::Browser => "auth.browser",
        }
    }

    /// The prefix of the text, so that people and secret scanners recognize it.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Code => "inc_",
            Self::Refresh => "inr_",
            Self::Session => "ins_",
            Self::Device => "ind_",
            Self::Password => "inp_",
            Self::SamlRequest => "inq_",
            Self::Browser => "inb_",
        }
    }
}

impl Opaque {
    /// The token's text.
    pub fn write(self, tenant: TenantId, used: Use, key: &DataKey) -> String {
        let said = self.bytes();
        let mac = key.mac(context(tenant, used), &said);
        format!("{}{}", used.prefix(), URL_SAFE_NO_PAD.encode([&said[..], &mac].concat()))
    }

    /// Parses and verifies a token; none: it was not made by us for this tenant and use.
    pub fn read(text: &str, tenant: TenantId, used: Use, key: &DataKey) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(used.prefix())?).ok()?;
        let bytes: &[u8; LENGTH] = bytes.as_slice().try_into().ok()?;
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let (generation, mac) = rest.split_first_chunk::<4>()?;
        let opaque = Self { id: Uuid::from_bytes(*id), generation: u32::from_be_bytes(*generation) };
        key.verifies(context(tenant, used), &opaque.bytes(), mac).then_some(opaque)
    }

    fn bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(self.id.as_bytes());
        bytes[16..].copy_from_slice(&self.generation.to_be_bytes());
        bytes
    }
}

fn context(tenant: TenantId, used: Use) -> Context<'static> {
    Context { tenant, purpose: used.purpose(), subject: "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's tenants")]
    fn tenant(number: u128) -> TenantId {
        TenantId::vouched(Uuid::from_u128(number))
    }

    #[test]
    fn a_text_is_read_for_its_tenant_and_use_and_when_nothing_of_it_was_changed() {
        let (key, said) = (DataKey::new([3; 32]), Opaque { id: Uuid::from_u128(7), generation: 2 });
        let text = said.write(tenant(1), Use::Refresh, &key);
        assert_eq!(Opaque::read(&text, tenant(1), Use::Refresh, &key), Some(said));
        assert_eq!(Opaque::read(&text, tenant(2), Use::Refresh, &key), None);
        assert_eq!(Opaque::read(&text, tenant(1), Use::Refresh, &DataKey::new([4; 32])), None);
        let as_code = text.replacen("inr_", "inc_", 1);
        assert_eq!(Opaque::read(&as_code, tenant(1), Use::Code, &key), None);
        for at in 4..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Opaque::read(&changed, tenant(1), Use::Refresh, &key), None, "{changed}");
        }
    }
}
