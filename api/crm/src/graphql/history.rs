//! What histories have in common.

/// What one needs, beside the permission to see a thing, to see what happened to it.
pub(crate) const READ: &str = "crm:history:read";
