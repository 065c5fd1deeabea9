//! Leads and their steps: assigned, worked on, qualified, converted, recycled or disqualified.

use chrono::{DateTime, Utc};

use super::calendar::{Calendar, DAYS};
use super::dice::Dice;
use super::directory::Account;
use super::people::{Company, Person};
use super::vocabulary::{DISQUALIFIED, NOTES, OWNERS, RECYCLED, SOURCES};

/// The number of the first company of leads, above those of accounts, so that they differ.
const FIRST_COMPANY: usize = 4_000;

/// The number in the first lead's e-mail address, above those of contacts, so that they differ.
const FIRST_PERSON: usize = 100_000;

/// A lead and what happens to it after its capture.
#[derive(Clone, Debug)]
pub struct Lead {
    pub company: Company,
    pub person: Person,
    pub source: &'static str,
    pub captured_at: DateTime<Utc>,
    /// Ordered by time.
    pub steps: Vec<(DateTime<Utc>, LeadStep)>,
}

/// A step in a lead's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadStep {
    Assign {
        owner: &'static str,
    },
    StartWork,
    Qualify {
        note: &'static str,
    },
    Recycle {
        reason: &'static str,
    },
    Disqualify {
        reason: &'static str,
    },
    /// Converts into an existing account (by index) or a new one, with or without an opportunity.
    Convert {
        account: Option<usize>,
        opportunity: bool,
    },
}

/// Makes `count` leads. More of them are in the later months, as in a growing business.
pub fn leads(count: usize, accounts: &[Account], calendar: &Calendar, seed: u64) -> Vec<Lead> {
    let mut dice = Dice::new(seed, "leads");
    (0..count)
        .map(|number| {
            let company = Company::of(FIRST_COMPANY + number / 2);
            let person = Person::at(&company, FIRST_PERSON + number, &mut dice);
            let source = dice.weighted(SOURCES);
            let day = dice.between(0, DAYS - 4);
            let day = if dice.chance(40) { day.max(dice.between(0, DAYS - 4)) } else { day };
            let captured_at = calendar.moment(day, &mut dice);
            let steps = life(source, captured_at, accounts, calendar, &mut dice);
            Lead { company, person, source, captured_at, steps }
        })
        .collect()
}

/// Percentage of worked-on leads that are qualified, by source. Sources with more interest of their own, such as referrals, have more.
fn qualified_of_100(source: &str) -> usize {
    match source {
        "referral" => 44,
        "partner" => 36,
        "website" | "event" => 26,
        "campaign" => 17,
        _ => 9,
    }
}

fn life(
    source: &str,
    captured_at: DateTime<Utc>,
    accounts: &[Account],
    calendar: &Calendar,
    dice: &mut Dice,
) -> Vec<(DateTime<Utc>, LeadStep)> {
    let mut life = Life { steps: Vec::new(), last: captured_at, calendar, dice };
    // `None` means that the history ended before the lead's did.
    let _ = life.run(source, accounts);
    life.steps
}

struct Life<'a> {
    steps: Vec<(DateTime<Utc>, LeadStep)>,
    last: DateTime<Utc>,
    calendar: &'a Calendar,
    dice: &'a mut Dice,
}

impl Life<'_> {
    fn step(&mut self, low: i64, high: i64, step: LeadStep) -> Option<()> {
        self.last = self.calendar.later(self.last, low, high, self.dice)?;
        self.steps.push((self.last, step));
        Some(())
    }

    fn run(&mut self, source: &str, accounts: &[Account]) -> Option<()> {
        if !self.dice.chance(88) {
            return None;
        }
        self.work()?;
        if self.dice.chance(qualified_of_100(source)) {
            return self.qualify_and_convert(accounts);
        }
        match self.dice.below(100) {
            0..62 => {
                let reason = self.dice.weighted(DISQUALIFIED);
                self.step(3, 30, LeadStep::Disqualify { reason })
            }
            62..80 => {
                let reason = self.dice.pick(RECYCLED);
                self.step(5, 30, LeadStep::Recycle { reason })?;
                if !self.dice.chance(50) {
                    return None;
                }
                self.step(30, 90, LeadStep::Assign { owner: OWNERS[0] })?;
                self.step(1, 5, LeadStep::StartWork)?;
                if self.dice.chance(30) { self.qualify_and_convert(accounts) } else { None }
            }
            _ => None,
        }
    }

    fn work(&mut self) -> Option<()> {
        let owner = self.dice.pick(OWNERS);
        self.step(0, 2, LeadStep::Assign { owner })?;
        if !self.dice.chance(92) {
            return None;
        }
        self.step(0, 4, LeadStep::StartWork)
    }

    fn qualify_and_convert(&mut self, accounts: &[Account]) -> Option<()> {
        let note = self.dice.pick(NOTES);
        self.step(2, 21, LeadStep::Qualify { note })?;
        if !self.dice.chance(72) {
            return None;
        }
        let account = self.dice.chance(15).then(|| self.dice.below(accounts.len()));
        let account = account.filter(|account| accounts[*account].created_at < self.last);
        let opportunity = self.dice.chance(90);
        self.step(1, 10, LeadStep::Convert { account, opportunity })
    }
}
