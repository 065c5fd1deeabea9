//! What a sealed value is: authenticated with it.

use kernel::TenantId;

/// Whose and what for a sealed value is. It opens in no other context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// The tenant to whom it belongs.
    pub tenant: TenantId,
    /// What it is used for, for example `auth.signing_key`.
    pub purpose: &'a str,
    /// Which of these it is: an id.
    pub subject: &'a str,
}

impl Context<'_> {
    /// The context as bytes. Lengths stand in front, so that no two contexts have the same.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.tenant.uuid().as_bytes().to_vec();
        for part in [self.purpose, self.subject] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}
