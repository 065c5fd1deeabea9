//! The rows of leads.

use chrono::{DateTime, Utc};
use crm_aggregates::{LeadSource, LeadStatus};
use kernel::PostalAddress;
use sqlx::types::Json;
use uuid::Uuid;

use folding::named::Named;
use folding::{table, version_table};

table! {
    /// The current state of a lead. After an erasure the personal data is empty.
    pub struct LeadRow in "lead" key ("tenant_id", "lead_id") {
        pub tenant_id: Uuid = "uuid",
        pub lead_id: Uuid = "uuid",
        /// The lead's version.
        pub version: i64 = "bigint",
        pub name: String = "text",
        pub company: Option<String> = "text",
        pub title: Option<String> = "text",
        pub email: Option<String> = "text",
        pub phone: Option<String> = "text",
        /// ISO 3166-1 alpha-2.
        pub country: Option<String> = "text",
        pub address: Option<Json<PostalAddress>> = "jsonb",
        pub source: Named<LeadSource> = "text",
        pub status: Named<LeadStatus> = "text",
        /// The responsible user, as the subject in their token.
        pub owner: Option<String> = "text",
        pub import_id: Option<Uuid> = "uuid",
        /// The account, contact and opportunity that it was converted into.
        pub account_id: Option<Uuid> = "uuid",
        pub contact_id: Option<Uuid> = "uuid",
        pub opportunity_id: Option<Uuid> = "uuid",
        /// The reason of the current status, if that is disqualified or recycled.
        pub reason: Option<String> = "text",
        pub captured_at: DateTime<Utc> = "timestamptz",
        /// When it was first assigned, or reached a later step.
        pub assigned_at: Option<DateTime<Utc>> = "timestamptz",
        /// When work on it first started, or it reached a later step.
        pub started_at: Option<DateTime<Utc>> = "timestamptz",
        /// When it was first qualified, or reached a later step.
        pub qualified_at: Option<DateTime<Utc>> = "timestamptz",
        pub converted_at: Option<DateTime<Utc>> = "timestamptz",
        pub disqualified_at: Option<DateTime<Utc>> = "timestamptz",
        /// When it was withdrawn with its import. Kept after an erasure, because withdrawn leads do not count in the funnel.
        pub withdrawn_at: Option<DateTime<Utc>> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

version_table! {
    /// A version of a lead.
    pub struct LeadHistoryRow in "lead_history" key ("tenant_id", "lead_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub lead_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        /// The last part of the event type, such as `qualified`.
        pub change: String = "text",
        /// The subject that caused the event.
        pub actor: String = "text",
        pub status: Named<LeadStatus> = "text",
        pub owner: Option<String> = "text",
        /// The reason or note of the event.
        pub note: Option<String> = "text",
    }
}
