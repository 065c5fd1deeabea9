//! The rows of opportunities.

use chrono::{DateTime, NaiveDate, Utc};
use crm_aggregates::{LineItem, OpportunityStatus};
use kernel::{Currency, Money};
use sqlx::types::Json;
use uuid::Uuid;

use folding::as_of::End;
use folding::history::Version;
use folding::named::Named;
use folding::table;

table! {
    /// A deal as the list shows it.
    pub struct OpportunityRow in "opportunity" key ("tenant_id", "opportunity_id") {
        pub tenant_id: Uuid = "uuid",
        pub opportunity_id: Uuid = "uuid",
        /// The opportunity's version that this row shows.
        pub version: i64 = "bigint",
        pub name: String = "text",
        pub account_id: Option<Uuid> = "uuid",
        pub contact_id: Option<Uuid> = "uuid",
        pub pipeline_id: Uuid = "uuid",
        /// Where it stands, or stood when it was closed.
        pub stage_id: Uuid = "uuid",
        pub status: Named<OpportunityStatus> = "text",
        /// Minor units of `currency`.
        pub amount_minor: i64 = "bigint",
        pub currency: Named<Currency> = "text",
        /// Expected day of closing.
        pub close_date: NaiveDate = "date",
        /// The user responsible, by the subject of their token.
        pub owner: Option<String> = "text",
        /// The lead that it was converted from.
        pub lead_id: Option<Uuid> = "uuid",
        pub lost_reason: Option<String> = "text",
        pub line_items: Json<Vec<LineItem>> = "jsonb",
        pub opened_at: DateTime<Utc> = "timestamptz",
        /// Since when it stands in its stage.
        pub stage_since: DateTime<Utc> = "timestamptz",
        /// When it was won or lost.
        pub closed_at: Option<DateTime<Utc>> = "timestamptz",
        pub changed_at: DateTime<Utc> = "timestamptz",
    }
}

impl OpportunityRow {
    /// What it is worth.
    pub const fn amount(&self) -> Money {
        Money { minor: self.amount_minor, currency: self.currency.0 }
    }
}

table! {
    /// How a deal stood from one version to the next.
    pub struct OpportunityHistoryRow in "opportunity_history" key ("tenant_id", "opportunity_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub opportunity_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        /// What happened: the event's last name, such as `won`.
        pub change: String = "text",
        pub pipeline_id: Uuid = "uuid",
        pub stage_id: Uuid = "uuid",
        pub status: Named<OpportunityStatus> = "text",
        /// Minor units of `currency`.
        pub amount_minor: i64 = "bigint",
        pub currency: Named<Currency> = "text",
        pub close_date: NaiveDate = "date",
        pub owner: Option<String> = "text",
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

impl Version for OpportunityHistoryRow {
    fn close(&mut self, valid_to: End, known_to: End) {
        (self.valid_to, self.known_to) = (valid_to, known_to);
    }
}
