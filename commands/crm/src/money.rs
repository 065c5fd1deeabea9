//! Money, as sent.

/// An amount, as sent; checked when the command runs.
#[derive(Clone, Debug, Default)]
pub struct MoneyFields {
    /// Minor units, at least 0.
    pub minor: i64,
    /// ISO 4217 code.
    pub currency: String,
}
