//! Formats numbers and words for people.

use std::time::Duration;

use serde_json::Value;

/// A number with a comma every three digits.
pub fn count(number: impl TryInto<i128>) -> String {
    let Ok(number) = number.try_into() else { return "?".to_owned() };
    let digits = number.unsigned_abs().to_string();
    let mut shown = if number < 0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A duration in seconds with one decimal.
pub fn seconds(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f64())
}

/// A number from a GraphQL response.
pub fn number(value: &Value) -> String {
    value.as_i64().map_or_else(|| "–".to_owned(), count)
}

/// A GraphQL money value without decimals: `1,234,568 EUR`.
pub fn money(value: &Value) -> String {
    let (Some(amount), Some(currency)) = (value["amount"].as_str(), value["currency"].as_str()) else {
        return "–".to_owned();
    };
    let units = amount.split('.').next().unwrap_or(amount);
    units.parse::<i128>().map_or_else(|_| amount.to_owned(), |units| format!("{} {currency}", count(units)))
}

/// An enum value as words: `STAGE_CHANGED` becomes `stage changed`.
pub fn words(value: &Value) -> String {
    value.as_str().unwrap_or("–").to_lowercase().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(-1_234_567), "-1,234,567");
    }

    #[test]
    fn money_is_shown_in_whole_units() {
        assert_eq!(money(&json!({ "amount": "1234567.89", "currency": "EUR" })), "1,234,567 EUR");
        assert_eq!(money(&json!({ "amount": "-50", "currency": "JPY" })), "-50 JPY");
        assert_eq!(money(&Value::Null), "–");
    }
}
