//! Postal addresses.

use juniper::GraphQLObject;

/// A postal address: what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, GraphQLObject)]
pub struct PostalAddress {
    /// Street and number, a post office box, whose house it is: one line or several, parted by line breaks.
    pub street: Option<String>,
    /// City, town or village.
    pub locality: Option<String>,
    /// State, province, prefecture or county.
    pub region: Option<String>,
    /// Postal code, as it is written in that country.
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
}

impl From<&kernel::PostalAddress> for PostalAddress {
    fn from(address: &kernel::PostalAddress) -> Self {
        let kernel::PostalAddress { street, locality, region, postal_code, country } = address.clone();
        Self { street, locality, region, postal_code, country }
    }
}
