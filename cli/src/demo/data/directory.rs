//! Accounts and contacts that are not created by converting leads.

use chrono::{DateTime, Utc};

use super::calendar::{Calendar, DAYS};
use super::dice::Dice;
use super::people::{Company, Person};
use super::vocabulary::OWNERS;

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    pub company: Company,
    pub employees: u32,
    pub owner: &'static str,
    pub created_at: DateTime<Utc>,
}

/// A contact at an account, which is given by its index.
#[derive(Clone, Debug)]
pub struct Contact {
    pub person: Person,
    pub account: usize,
    pub owner: &'static str,
    pub created_at: DateTime<Utc>,
}

/// Makes `count` accounts, most of them created in the first year.
pub fn accounts(count: usize, calendar: &Calendar, seed: u64) -> Vec<Account> {
    let mut dice = Dice::new(seed, "accounts");
    (0..count)
        .map(|number| {
            let company = Company::of(number);
            let day = dice.between(0, DAYS - 5).min(dice.between(0, DAYS - 5));
            Account {
                company,
                employees: 10_u32.pow(dice.between(1, 4) as u32) / 2 + dice.below(400) as u32,
                owner: dice.pick(OWNERS),
                created_at: calendar.moment(day, &mut dice),
            }
        })
        .collect()
}

/// Makes `count` contacts, spread evenly over the accounts.
pub fn contacts(count: usize, accounts: &[Account], calendar: &Calendar, seed: u64) -> Vec<Contact> {
    let mut dice = Dice::new(seed, "contacts");
    (0..count)
        .map(|number| {
            let account = number % accounts.len();
            let at = &accounts[account];
            let created_at = calendar.later(at.created_at, 0, 120, &mut dice).unwrap_or(at.created_at);
            Contact { person: Person::at(&at.company, number, &mut dice), account, owner: at.owner, created_at }
        })
        .collect()
}
