//! The demo's data set: eighteen months of a company that sells software. It is deterministic: the same size, seed and end give exactly the
//! same data. All names, addresses and numbers are invented (`.example` domains).

mod calendar;
mod deals;
mod dice;
mod directory;
mod leads;
mod people;
mod setup;
mod vocabulary;

use chrono::{DateTime, NaiveDate, Utc};

use calendar::Calendar;

pub use self::directory::{Account, Contact};
pub use deals::{Deal, DealStep, Origin};
pub use leads::{Lead, LeadStep};
pub use setup::{BASE_CURRENCY, PIPELINES, Rate};

/// The seed of all random numbers.
const SEED: u64 = 20_261_123;

/// The whole data set, in the order in which it is loaded.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The time at which the tenant sets up its pipelines and rates: the start of the history.
    pub begins_at: DateTime<Utc>,
    pub rates: Vec<Rate>,
    pub accounts: Vec<Account>,
    pub contacts: Vec<Contact>,
    pub leads: Vec<Lead>,
    pub deals: Vec<Deal>,
}

impl DataSet {
    /// Generates a set with `leads` leads, a fifth as many accounts, half as many contacts and three tenths as many opportunities, including
    /// those that conversions create. The history ends at the start of the day `until`.
    pub fn generate(leads: usize, until: NaiveDate) -> Self {
        let calendar = Calendar::new(until);
        // Conversions choose among existing accounts, and create others, which count too. So draw the leads with the full list of accounts
        // first, then cut the list so that the total is right.
        let all_accounts = directory::accounts(leads / 5, &calendar, SEED);
        let usable = (all_accounts.len() / 4).max(1);
        let leads = leads::leads(leads, &all_accounts[..usable], &calendar, SEED);
        let (new_accounts, new_contacts) = made_by_conversions(&leads);
        let accounts = keep(all_accounts, new_accounts, usable);
        let contacts = directory::contacts(leads.len() / 2 - new_contacts, &accounts, &calendar, SEED);
        let deals = deals::deals(leads.len() * 3 / 10, &leads, &contacts, &accounts, &calendar, SEED);
        let begins_at = calendar.first_day().and_time(chrono::NaiveTime::MIN).and_utc();
        let rates = setup::rates(&calendar, SEED);
        Self { begins_at, rates, accounts, contacts, leads, deals }
    }

    /// Number of requests that load the set. The import of the leads is one.
    pub fn commands(&self) -> usize {
        let lead_steps: usize = self.leads.iter().map(|lead| lead.steps.len()).sum();
        let deal_steps: usize = self.deals.iter().map(|deal| deal.steps.len()).sum();
        let opened = self.deals.iter().filter(|deal| matches!(deal.origin, Origin::Contact(_))).count();
        PIPELINES.len()
            + 1
            + self.rates.len()
            + self.accounts.len()
            + self.contacts.len()
            + 1
            + lead_steps
            + opened
            + deal_steps
    }
}

/// Number of accounts and contacts that conversions create.
fn made_by_conversions(leads: &[Lead]) -> (usize, usize) {
    let conversions = leads.iter().flat_map(|lead| &lead.steps).filter_map(|(_, step)| match step {
        LeadStep::Convert { account, .. } => Some(account.is_none()),
        _ => None,
    });
    conversions.fold((0, 0), |(accounts, contacts), new_account| (accounts + usize::from(new_account), contacts + 1))
}

fn keep(mut accounts: Vec<Account>, made: usize, at_least: usize) -> Vec<Account> {
    accounts.truncate(accounts.len().saturating_sub(made).max(at_least));
    accounts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> DataSet {
        DataSet::generate(10_000, NaiveDate::from_ymd_opt(2026, 11, 23).unwrap())
    }

    #[test]
    fn the_set_has_the_size_that_it_promises() {
        let set = set();
        let (accounts, contacts) = made_by_conversions(&set.leads);
        assert_eq!(set.leads.len(), 10_000);
        assert_eq!(set.accounts.len() + accounts, 2_000);
        assert_eq!(set.contacts.len() + contacts, 5_000);
        assert_eq!(set.deals.len(), 3_000);
    }

    #[test]
    fn the_same_size_and_end_give_the_same_set() {
        assert_eq!(format!("{:?}", set()), format!("{:?}", set()));
    }

    #[test]
    fn every_history_is_in_order_and_in_the_past() {
        let set = set();
        let end = NaiveDate::from_ymd_opt(2026, 11, 23).unwrap().and_time(chrono::NaiveTime::MIN).and_utc();
        let leads =
            set.leads.iter().map(|lead| (lead.captured_at, lead.steps.iter().map(|(at, _)| *at).collect::<Vec<_>>()));
        let deals = set.deals.iter().map(|deal| (deal.opened_at, deal.steps.iter().map(|(at, _)| *at).collect()));
        for (first, mut steps) in leads.chain(deals) {
            steps.insert(0, first);
            assert!(steps.is_sorted() && steps.iter().all(|at| *at < end), "{steps:?}");
        }
    }

    #[test]
    fn deals_are_open_won_and_lost() {
        let set = set();
        let ends = |wanted: fn(&DealStep) -> bool| {
            set.deals.iter().filter(|deal| deal.steps.last().is_some_and(|(_, step)| wanted(step))).count()
        };
        let won = ends(|step| *step == DealStep::Win);
        let lost = ends(|step| matches!(step, DealStep::Lose(_)));
        let open = set.deals.len() - won - lost;
        assert!(won > 600 && lost > 600 && open > 300, "{won} won, {lost} lost, {open} open");
    }
}
