//! Tasks of operators on the command line, with or without a running server: migrates databases, provisions tenants, issues tokens,
//! rotates signing keys and rewraps keys. They work directly on the logs and the directory that the configuration names.

mod migrate;
pub mod operator;
mod provisioning;
mod rewrap;
pub mod tenant_keys;

pub use self::migrate::{Migrated, migrate};
pub use self::provisioning::provision;
pub use self::rewrap::{Outcome, RewrapError, master_key_name, rewrap};
