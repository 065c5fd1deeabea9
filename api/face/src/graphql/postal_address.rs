//! Postal addresses.

use juniper::GraphQLObject;

/// A postal address, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, GraphQLObject)]
pub struct PostalAddress {
    /// Street and number, post office box or care-of line: one or more lines, separated by line breaks.
    pub street: Option<String>,
    /// City, town or village.
    pub locality: Option<String>,
    /// State, province, prefecture or county.
    pub region: Option<String>,
    /// Postal code in the format of the country.
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2 country code.
    pub country: Option<String>,
}

impl From<&kernel::PostalAddress> for PostalAddress {
    fn from(address: &kernel::PostalAddress) -> Self {
        let kernel::PostalAddress { street, locality, region, postal_code, country } = address.clone();
        Self { street, locality, region, postal_code, country }
    }
}
