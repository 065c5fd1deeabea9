//! Protection against CSV injection (OWASP): cells that a spreadsheet would run as formulas.

use std::borrow::Cow;

/// Whether a spreadsheet takes a cell with this text for a formula: it begins with `=`, `+`, `-` or `@` (ASCII or full width), possibly
/// after white space, or with a tab or line break, which some spreadsheets skip.
pub fn is_formula(text: &str) -> bool {
    text.starts_with(['\t', '\r', '\n'])
        || text.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
}

/// The text as it is written into a cell: a text that would be a formula gets an apostrophe in front, so that spreadsheets show it as text. So
/// does one that would be a formula but for its apostrophes, so that [`from_cell`] gives back each text as it was.
///
/// ```
/// assert_eq!(kernel::without_formula("=1+1"), "'=1+1");
/// assert_eq!(kernel::without_formula("Ada"), "Ada");
/// ```
pub fn without_formula(text: &str) -> Cow<'_, str> {
    if is_formula(unquoted(text)) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// The text that a cell has in which [`without_formula`] wrote it.
///
/// ```
/// assert_eq!(kernel::from_cell("'=1+1"), "=1+1");
/// assert_eq!(kernel::from_cell("'Ada'"), "'Ada'");
/// ```
pub fn from_cell(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| is_formula(unquoted(text))).unwrap_or(cell)
}

fn unquoted(text: &str) -> &str {
    text.trim_start_matches('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_known_by_its_beginning() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\tx", "\r1", "\u{ff1d}1", "\u{a0}=1"] {
            assert!(is_formula(formula), "{formula:?}");
            assert_eq!(without_formula(formula), format!("'{formula}"));
            assert_eq!(from_cell(&without_formula(formula)), formula);
        }
        for text in ["", "Ada", "a=1", "1-1", "'=1", "''=1", "'Ada'", "(+49) 30"] {
            assert!(!is_formula(text), "{text:?}");
            assert_eq!(from_cell(&without_formula(text)), text);
        }
        assert_eq!(without_formula("'=1"), "''=1");
    }
}
