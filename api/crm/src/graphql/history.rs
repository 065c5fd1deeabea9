//! What the histories of all objects have in common.

/// The permission to read the history of an object, needed in addition to the permission to read the object.
pub(crate) const READ: &str = "crm:history:read";
