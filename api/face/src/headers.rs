//! Headers that say one thing.

use kernel::Refusal;
use poem::http::HeaderMap;

/// What a header says; `None`: it is not there.
///
/// # Errors
/// `header_invalid` when it is there twice or is no ASCII text: nobody can tell then what was meant.
pub(crate) fn header<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text)),
        _ => Err(bad_header(name, "it must be sent exactly once, in ASCII")),
    }
}

/// The refusal of a header.
pub(crate) fn bad_header(name: &'static str, what: &str) -> Refusal {
    Refusal::invalid("header_invalid", format!("the header {name} is invalid: {what}")).with("header", name)
}
