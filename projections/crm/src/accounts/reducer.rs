//! From account events to rows and words.

use std::collections::BTreeSet;

use crm_aggregates::{AccountDetails, AccountEvent, LeadId};
use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;

use super::row::AccountRow;
use crate::change::{Change, decode};
use crate::fold::{Current, fold};
use crate::table::{self, Key};
use crate::words::{WordChanges, words};

/// Applies a batch of account events.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let changes = decode::<AccountEvent>(events)?;
    let folded = fold::<AccountRow>(&changes, tables, |_, _| Ok(())).await?;
    let mut words = WordChanges::default();
    for row in &folded.before {
        words.before(row.key(), row.words());
    }
    for row in &folded.after {
        words.after(row.key(), row.words());
    }
    table::upsert(&folded.after, tables).await?;
    Ok(words.write("account_word", "account_id", tables).await?)
}

impl Current for AccountRow {
    type Event = AccountEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.account_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, AccountEvent>) -> Option<Self> {
        let AccountEvent::AccountCreated(created) = &change.event else { return None };
        let (tenant_id, account_id) = change.key;
        let mut row = Self {
            tenant_id,
            account_id,
            version: change.version,
            name: String::new(),
            website: None,
            industry: None,
            country: None,
            employees: None,
            owner: created.owner.clone(),
            lead_id: created.lead.map(LeadId::uuid),
            created_at: change.occurred_at,
            changed_at: change.occurred_at,
        };
        row.describe(&created.details);
        Some(row)
    }

    fn evolve(&mut self, change: &Change<'_, AccountEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            AccountEvent::AccountCreated(e) => self.describe(&e.details),
            AccountEvent::AccountDetailsChanged(e) => self.describe(&e.details),
        }
    }
}

impl AccountRow {
    fn describe(&mut self, details: &AccountDetails) {
        let AccountDetails { name, website, industry, country, employees } = details;
        self.name.clone_from(name);
        self.website.clone_from(website);
        self.industry.clone_from(industry);
        self.country.clone_from(country);
        self.employees = employees.map(i64::from);
    }

    /// By what it is found: name and web address.
    fn words(&self) -> BTreeSet<String> {
        words([Some(&self.name), self.website.as_ref()].into_iter().flatten().map(String::as_str))
    }
}
