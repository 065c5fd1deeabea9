//! Opportunities and their steps through the pipeline.

use chrono::{DateTime, Duration, NaiveDate, Utc};

use super::calendar::{Calendar, DAYS, due};
use super::dice::Dice;
use super::directory::{Account, Contact};
use super::leads::{Lead, LeadStep};
use super::setup::PIPELINES;
use super::vocabulary::{LOST_REASONS, OWNERS, PRODUCTS};

/// An opportunity and what happens to it.
#[derive(Clone, Debug)]
pub struct Deal {
    pub name: String,
    pub origin: Origin,
    /// Index into [`PIPELINES`]. A deal begins in the first stage.
    pub pipeline: usize,
    pub currency: &'static str,
    pub amount_minor: i64,
    pub close_date: NaiveDate,
    pub owner: &'static str,
    pub opened_at: DateTime<Utc>,
    /// Ordered by time.
    pub steps: Vec<(DateTime<Utc>, DealStep)>,
}

/// The origin of a deal, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Opened by the conversion of this lead.
    Lead(usize),
    /// Opened for this contact.
    Contact(usize),
}

/// A step in a deal's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DealStep {
    /// Moves to the stage with this index.
    Move(usize),
    Amount(i64),
    CloseDate(NaiveDate),
    Reassign(&'static str),
    Win,
    Lose(&'static str),
    Reopen,
}

/// The deals that conversions open, in the order of the leads, then further ones until there are `count`.
pub fn deals(
    count: usize,
    leads: &[Lead],
    contacts: &[Contact],
    accounts: &[Account],
    calendar: &Calendar,
    seed: u64,
) -> Vec<Deal> {
    let mut dice = Dice::new(seed, "deals");
    let converted = leads.iter().enumerate().filter_map(|(number, lead)| Some((number, lead, opened_by(lead)?)));
    let mut deals: Vec<Deal> = converted
        .map(|(number, lead, at)| {
            let currency = lead.company.country.currency;
            deal(&lead.company.name, currency, Origin::Lead(number), 0, at, calendar, &mut dice)
        })
        .collect();
    while deals.len() < count {
        let number = dice.below(contacts.len());
        let company = &accounts[contacts[number].account].company;
        let pipeline = usize::from(dice.chance(25));
        let opened_at = calendar.moment(dice.between(0, DAYS - 4), &mut dice).max(contacts[number].created_at);
        let currency = company.country.currency;
        deals.push(deal(&company.name, currency, Origin::Contact(number), pipeline, opened_at, calendar, &mut dice));
    }
    deals
}

fn opened_by(lead: &Lead) -> Option<DateTime<Utc>> {
    lead.steps.iter().find_map(|(at, step)| matches!(step, LeadStep::Convert { opportunity: true, .. }).then_some(*at))
}

fn deal(
    company: &str,
    currency: &'static str,
    origin: Origin,
    pipeline: usize,
    opened_at: DateTime<Utc>,
    calendar: &Calendar,
    dice: &mut Dice,
) -> Deal {
    let (product, price) = dice.pick(PRODUCTS);
    // Prices are scaled roughly by exchange rate: a krona or złoty buys less than a euro.
    let scale = match currency {
        "SEK" => 11,
        "PLN" => 4,
        _ => 1,
    };
    let amount_minor = price * scale * dice.between(70, 160) / 100 / 10_000 * 10_000;
    let close_date = due(opened_at, 30, 110, dice);
    let owner = dice.pick(OWNERS);
    let mut course = Course { steps: Vec::new(), last: opened_at, amount_minor, close_date, calendar, dice };
    // `None` means that the history ended before the deal did.
    let _ = course.run(PIPELINES[pipeline].stages.len());
    let steps = course.steps;
    Deal {
        name: format!("{company}: {product}"),
        origin,
        pipeline,
        currency,
        amount_minor,
        close_date,
        owner,
        opened_at,
        steps,
    }
}

struct Course<'a> {
    steps: Vec<(DateTime<Utc>, DealStep)>,
    last: DateTime<Utc>,
    amount_minor: i64,
    close_date: NaiveDate,
    calendar: &'a Calendar,
    dice: &'a mut Dice,
}

impl Course<'_> {
    fn step(&mut self, low: i64, high: i64, step: DealStep) -> Option<()> {
        self.last = self.calendar.later(self.last, low, high, self.dice)?;
        self.steps.push((self.last, step));
        Some(())
    }

    fn run(&mut self, stages: usize) -> Option<()> {
        for stage in 1..stages {
            self.changes()?;
            match self.dice.below(100) {
                0..14 => return self.lose(stage),
                14..22 => return None,
                _ => self.step(4, 24, DealStep::Move(stage))?,
            }
        }
        if self.dice.chance(68) { self.step(2, 20, DealStep::Win) } else { self.lose(stages - 1) }
    }

    /// Changes amount, close date or owner, each with some probability.
    fn changes(&mut self) -> Option<()> {
        if self.dice.chance(16) {
            self.amount_minor = (self.amount_minor * self.dice.between(60, 140) / 100).max(10_000);
            self.step(1, 6, DealStep::Amount(self.amount_minor))?;
        }
        if self.dice.chance(20) {
            let slip = Duration::days(self.dice.between(7, 60));
            self.close_date = (self.close_date + slip).max(self.last.date_naive());
            self.step(1, 6, DealStep::CloseDate(self.close_date))?;
        }
        if self.dice.chance(4) {
            let owner = self.dice.pick(OWNERS);
            self.step(0, 6, DealStep::Reassign(owner))?;
        }
        Some(())
    }

    /// Loses the deal. Some deals are reopened, once.
    fn lose(&mut self, stage: usize) -> Option<()> {
        let reason = self.dice.pick(LOST_REASONS);
        self.step(3, 30, DealStep::Lose(reason))?;
        if stage > 1 && self.dice.chance(6) {
            self.step(20, 60, DealStep::Reopen)?;
            if self.dice.chance(50) {
                self.step(5, 30, DealStep::Win)?;
            }
        }
        Some(())
    }
}
