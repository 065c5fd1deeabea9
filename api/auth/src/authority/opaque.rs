//! Codes, refresh tokens and cookies: texts that only we can make. Nothing of them is stored: each names what it belongs to, and
//! a MAC under the tenant's key shows that it is ours. Whether it still works, the state of what it names says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::TenantId;
use keys::{Context, DataKey};
use uuid::Uuid;

/// What a text is for. One for another use is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// An authorization code.
    Code,
    /// A refresh token.
    Refresh,
    /// The cookie of a session.
    Session,
    /// A code by which a device asks whether it was let in.
    Device,
    /// A link to set a password.
    Password,
    /// The id of a request to an identity provider.
    SamlRequest,
    /// The cookie of a browser in which somebody signed in before: by it only who tries how often is counted.
    Browser,
}

/// What such a text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// The grant or session.
    pub id: Uuid,
    /// Which one of its texts, where it has several over time.
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

    /// In front of the text, so that people and scanners for leaked secrets know what they see.
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
    /// The text.
    pub fn write(self, tenant: TenantId, used: Use, key: &DataKey) -> String {
        let said = self.bytes();
        let mac = key.mac(context(tenant, used), &said);
        format!("{}{}", used.prefix(), URL_SAFE_NO_PAD.encode([&said[..], &mac].concat()))
    }

    /// What a text says; none: we did not make it, for this tenant and use.
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
