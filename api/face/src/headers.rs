//! Request headers with a single value.

use kernel::Refusal;
use poem::http::HeaderMap;

/// The value of a header; `None`: the request does not have it.
///
/// # Errors
/// `header_invalid` when it occurs more than once or is not ASCII text, because its meaning is ambiguous then.
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
