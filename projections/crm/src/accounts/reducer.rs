//! Applies account events to rows, words and history.

use crm_aggregates::{AccountDetails, AccountEvent, LeadId};
use projector::ApplyError;

use super::row::{AccountHistoryRow, AccountRow};
use folding::as_of::End;
use folding::change::Change;
use folding::fold::Current;
use folding::history::Kept;
use folding::table::Key;
use folding::words::Searchable;

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
            AccountEvent::AccountReassigned(e) => self.owner = Some(e.owner.clone()),
        }
    }
}

impl Kept for AccountRow {
    type Version = AccountHistoryRow;

    fn kept(&self, change: &Change<'_, AccountEvent>) -> Result<AccountHistoryRow, ApplyError> {
        Ok(AccountHistoryRow {
            tenant_id: self.tenant_id,
            account_id: self.account_id,
            version: change.version,
            change: change.name(),
            actor: change.actor()?,
            owner: self.owner.clone(),
            valid_from: change.occurred_at,
            valid_to: End(None),
            known_from: change.recorded_at,
            known_to: End(None),
        })
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
}

/// Accounts are found by name and web address.
impl Searchable for AccountRow {
    const WORDS: (&'static str, &'static str) = ("account_word", "account_id");

    fn texts(&self) -> impl Iterator<Item = &str> {
        [Some(self.name.as_str()), self.website.as_deref()].into_iter().flatten()
    }
}
