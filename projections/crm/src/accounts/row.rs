//! The rows of accounts.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use folding::{table, version_table};

table! {
    /// The current state of an account.
    pub struct AccountRow in "account" key ("tenant_id", "account_id") {
        pub tenant_id: Uuid = "uuid",
        pub account_id: Uuid = "uuid",
        /// The account's version.
        pub version: i64 = "bigint",
        pub name: String = "text",
        pub website: Option<String> = "text",
        pub industry: Option<String> = "text",
        /// ISO 3166-1 alpha-2.
        pub country: Option<String> = "text",
        /// The number of employees.
        pub employees: Option<i64> = "bigint",
        /// The responsible user, as the subject in their token.
        pub owner: Option<String> = "text",
        /// The lead that it was converted from.
        pub lead_id: Option<Uuid> = "uuid",
        pub created_at: DateTime<Utc> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

version_table! {
    /// A version of an account.
    pub struct AccountHistoryRow in "account_history" key ("tenant_id", "account_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub account_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        /// The last part of the event type, such as `reassigned`.
        pub change: String = "text",
        /// The subject that caused the event.
        pub actor: String = "text",
        pub owner: Option<String> = "text",
    }
}
