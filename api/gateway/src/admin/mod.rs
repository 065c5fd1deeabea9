//! What an operator does by the command line, without a server or beside one: databases are prepared, tenants made, tokens issued, keys
//! rotated and wrapped anew. All of it works on the logs and the directory that the configuration names.

mod migrate;
pub mod operator;
mod provisioning;
mod rewrap;
pub mod tenant_keys;

pub use self::migrate::{Migrated, migrate};
pub use self::provisioning::provision;
pub use self::rewrap::{Outcome, RewrapError, master_key_name, rewrap};
