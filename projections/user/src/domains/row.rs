//! The row of a domain.

use chrono::{DateTime, Utc};
use folding::table;
use uuid::Uuid;

table! {
    /// The current state of a domain.
    pub struct DomainRow in "domain" key ("tenant_id", "domain_id") {
        pub tenant_id: Uuid = "uuid",
        pub domain_id: Uuid = "uuid",
        /// The domain's version.
        pub version: i64 = "bigint",
        pub domain: String = "text",
        /// When the DNS record was first found, or found again after it was missing.
        pub verified_at: Option<DateTime<Utc>> = "timestamptz",
        /// Since when the DNS record is missing.
        pub missing_since: Option<DateTime<Utc>> = "timestamptz",
        pub released: bool = "boolean",
        pub claimed_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}
