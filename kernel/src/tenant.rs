//! The tenant: the wall that no query, command or event may cross.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

/// A tenant of the platform.
///
/// There is no parsing and no deserializing of a `TenantId`: whoever holds one got it from a verified token, from a row
/// that Postgres let through row level security, or is a test. [`TenantId::vouched`] is the one constructor, and clippy
/// (`clippy.toml`) refuses it everywhere but where the caller can say why it may be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TenantId(Uuid);

impl TenantId {
    /// A tenant id that the caller vouches for: it was authenticated, or read from the log itself.
    pub const fn vouched(id: Uuid) -> Self {
        Self(id)
    }

    /// The id as a UUID, for keys and conditions.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

/// Whether a tenant's short name may be this, and a cell's name: 2 to 40 lower-case letters, digits and hyphens, a letter first.
pub fn is_slug(text: &str) -> bool {
    (2..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
