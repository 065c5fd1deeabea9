//! Filters by country.

use face::graphql::bad_argument;
use juniper::FieldResult;
use kernel::Checks;

/// The country of a filter, in upper case. An unknown one is refused, because its empty list would look as if nothing matched.
pub(super) fn known(country: Option<String>) -> FieldResult<Option<String>> {
    let Some(country) = country else { return Ok(None) };
    let mut checks = Checks::default();
    let country = checks.country("/country", &country);
    match checks.into_errors().pop() {
        None => Ok(Some(country)),
        Some(error) => Err(bad_argument("filter.country", &error.detail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_by_a_country_that_there_is_not_is_refused() {
        let read = |text: &str| known(Some(text.to_owned()));
        assert_eq!(read("de").unwrap().as_deref(), Some("DE"));
        assert_eq!(known(None).unwrap(), None);
        for text in ["", "XX", "DEU", "Germany", "D\0"] {
            let error = read(text).unwrap_err();
            assert!(error.message().starts_with("filter.country: "), "{text:?}: {}", error.message());
        }
    }
}
