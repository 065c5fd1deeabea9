//! The rows of opportunities.

use chrono::{DateTime, NaiveDate, Utc};
use crm_aggregates::{LineItem, OpportunityStatus};
use kernel::{Currency, Money};
use sqlx::types::Json;
use uuid::Uuid;

use folding::named::Named;
use folding::{table, version_table};

table! {
    /// The current state of a deal.
    pub struct OpportunityRow in "opportunity" key ("tenant_id", "opportunity_id") {
        pub tenant_id: Uuid = "uuid",
        pub opportunity_id: Uuid = "uuid",
        /// The opportunity's version.
        pub version: i64 = "bigint",
        pub name: String = "text",
        pub account_id: Option<Uuid> = "uuid",
        pub contact_id: Option<Uuid> = "uuid",
        pub pipeline_id: Uuid = "uuid",
        /// Its stage; of a closed deal, the last one.
        pub stage_id: Uuid = "uuid",
        pub status: Named<OpportunityStatus> = "text",
        /// Minor units of `currency`.
        pub amount_minor: i64 = "bigint",
        pub currency: Named<Currency> = "text",
        /// Expected day of closing.
        pub close_date: NaiveDate = "date",
        /// The responsible user, as the subject in their token.
        pub owner: Option<String> = "text",
        /// The lead that it was converted from.
        pub lead_id: Option<Uuid> = "uuid",
        pub lost_reason: Option<String> = "text",
        pub line_items: Json<Vec<LineItem>> = "jsonb",
        pub opened_at: DateTime<Utc> = "timestamptz",
        /// Since when it is in its stage.
        pub stage_since: DateTime<Utc> = "timestamptz",
        /// When it was won or lost.
        pub closed_at: Option<DateTime<Utc>> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

impl OpportunityRow {
    /// The amount.
    pub const fn amount(&self) -> Money {
        Money { minor: self.amount_minor, currency: self.currency.0 }
    }
}

version_table! {
    /// A version of a deal.
    pub struct OpportunityHistoryRow in "opportunity_history" key ("tenant_id", "opportunity_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub opportunity_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        /// The last part of the event type, such as `won`.
        pub change: String = "text",
        pub pipeline_id: Uuid = "uuid",
        pub stage_id: Uuid = "uuid",
        pub status: Named<OpportunityStatus> = "text",
        /// Minor units of `currency`.
        pub amount_minor: i64 = "bigint",
        pub currency: Named<Currency> = "text",
        pub close_date: NaiveDate = "date",
        pub owner: Option<String> = "text",
    }
}
