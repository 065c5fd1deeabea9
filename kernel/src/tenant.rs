//! [`TenantId`]: the isolation boundary that no query, command or event may cross.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

/// A tenant of the platform.
///
/// A `TenantId` can't be parsed or deserialised: it comes from a verified token, from a row that Postgres let through row level security,
/// or from a test. [`TenantId::vouched`] is the only constructor; clippy (`clippy.toml`) forbids it except where the code states why the id
/// can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TenantId(Uuid);

impl TenantId {
    /// A tenant id that the calling code vouches for: it was authenticated, or read from the log itself.
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

/// Whether a text is allowed as the short name of a tenant or the name of a cell: 2 to 40 lower-case letters, digits and hyphens, beginning
/// with a letter.
pub fn is_slug(text: &str) -> bool {
    (2..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
