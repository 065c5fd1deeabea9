//! The rows of leads.

use chrono::{DateTime, Utc};
use crm_aggregates::{LeadSource, LeadStatus};
use kernel::PostalAddress;
use sqlx::types::Json;
use uuid::Uuid;

use folding::as_of::End;
use folding::history::Version;
use folding::named::Named;
use folding::table;

table! {
    /// A lead as the list shows it. What told who it was is empty when it is erased.
    pub struct LeadRow in "lead" key ("tenant_id", "lead_id") {
        pub tenant_id: Uuid = "uuid",
        pub lead_id: Uuid = "uuid",
        /// The lead's version that this row shows.
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
        /// The user responsible, by the subject of their token.
        pub owner: Option<String> = "text",
        pub import_id: Option<Uuid> = "uuid",
        /// What it was converted into.
        pub account_id: Option<Uuid> = "uuid",
        pub contact_id: Option<Uuid> = "uuid",
        pub opportunity_id: Option<Uuid> = "uuid",
        /// Why it was disqualified or recycled; of its present status only.
        pub reason: Option<String> = "text",
        pub captured_at: DateTime<Utc> = "timestamptz",
        /// When it was first assigned or further.
        pub assigned_at: Option<DateTime<Utc>> = "timestamptz",
        /// When work on it first started, or it was further.
        pub started_at: Option<DateTime<Utc>> = "timestamptz",
        /// When it was first qualified or further.
        pub qualified_at: Option<DateTime<Utc>> = "timestamptz",
        pub converted_at: Option<DateTime<Utc>> = "timestamptz",
        pub disqualified_at: Option<DateTime<Utc>> = "timestamptz",
        /// When it was taken back with its import, if it was: erased, it still counts as if it had never come in.
        pub withdrawn_at: Option<DateTime<Utc>> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

table! {
    /// How a lead stood from one version to the next.
    pub struct LeadHistoryRow in "lead_history" key ("tenant_id", "lead_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub lead_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        /// What happened: the event's last name, such as `qualified`.
        pub change: String = "text",
        /// In whose name.
        pub actor: String = "text",
        pub status: Named<LeadStatus> = "text",
        pub owner: Option<String> = "text",
        /// The reason or note that came with it.
        pub note: Option<String> = "text",
        /// When it happened.
        pub valid_from: DateTime<Utc> = "timestamptz",
        /// When the next change happened.
        pub valid_to: End = "timestamptz",
        /// When the log took it.
        pub known_from: DateTime<Utc> = "timestamptz",
        /// When the log took the next change.
        pub known_to: End = "timestamptz",
    }
}

impl Version for LeadHistoryRow {
    fn close(&mut self, valid_to: End, known_to: End) {
        (self.valid_to, self.known_to) = (valid_to, known_to);
    }
}
