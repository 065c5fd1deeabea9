//! [`Context`]: the associated data (AAD) that is authenticated together with a sealed value.

use kernel::TenantId;

/// The owner and purpose of a sealed value. The value can be decrypted only with the same context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// Its purpose, for example `auth.signing_key`.
    pub purpose: &'a str,
    /// The id of the value among those with this purpose.
    pub subject: &'a str,
}

impl Context<'_> {
    /// The context as bytes. Each text is preceded by its length, so that different contexts never have the same bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.tenant.uuid().as_bytes().to_vec();
        for part in [self.purpose, self.subject] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}
