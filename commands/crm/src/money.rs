//! Money and line items, as sent.

use crm_aggregates::LineItem;
use kernel::{Checks, Currency, Money};

use crate::lengths::LINE_ITEMS;
use crate::values;

/// An amount as sent; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct MoneyFields {
    /// Minor units, at least 0.
    pub minor: i64,
    /// ISO 4217 code.
    pub currency: String,
}

impl MoneyFields {
    /// `at`: JSON pointer to the amount.
    pub(crate) fn check(&self, checks: &mut Checks, at: &str) -> Money {
        if self.minor < 0 {
            let detail = format!("the amount is {}; it must be at least 0", self.minor);
            checks.refuse(format!("{at}/minor"), "amount_negative", detail);
        }
        Money { minor: self.minor, currency: currency(checks, &format!("{at}/currency"), &self.currency) }
    }
}

/// Validates a currency code. The value returned for an unknown code is never used, because the check refuses the command.
pub(crate) fn currency(checks: &mut Checks, pointer: &str, code: &str) -> Currency {
    checks.take(pointer, "currency", code.parse()).unwrap_or(Currency::EUR)
}

/// Validates the names of line items. Their sums are checked by the opportunity itself.
pub(crate) fn line_items(checks: &mut Checks, at: &str, items: &[LineItem]) -> Vec<LineItem> {
    checks.at_most(at, items.len(), LINE_ITEMS);
    if items.len() > LINE_ITEMS {
        return Vec::new();
    }
    let checked = items.iter().enumerate().map(|(index, item)| LineItem {
        name: checks.line(&format!("{at}/{index}/name"), &item.name, values::NAME),
        ..item.clone()
    });
    checked.collect()
}
