//! A postal address in a body.

use kernel::PostalAddress;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::form;

/// A postal address: at least one of its members.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct NewPostalAddress {
    /// Street and number, a post office box, whose house it is: one line or several, parted by line breaks; up to 300 characters.
    #[serde(default)]
    #[schemars(with = "Option<form::Street>")]
    street: Option<String>,
    /// City, town or village: up to 100 characters.
    #[serde(default)]
    #[schemars(with = "Option<form::Locality>")]
    locality: Option<String>,
    /// State, province, prefecture or county: up to 100 characters.
    #[serde(default)]
    #[schemars(with = "Option<form::Region>")]
    region: Option<String>,
    /// Postal code, as it is written in that country: up to 20 characters.
    #[serde(default)]
    #[schemars(with = "Option<form::PostalCode>")]
    postal_code: Option<String>,
    /// ISO 3166-1 alpha-2, such as DE.
    #[serde(default)]
    #[schemars(with = "Option<form::Country>")]
    country: Option<String>,
}

/// As sent: it is checked with the command.
impl From<NewPostalAddress> for PostalAddress {
    fn from(body: NewPostalAddress) -> Self {
        let NewPostalAddress { street, locality, region, postal_code, country } = body;
        Self { street, locality, region, postal_code, country }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_that_no_address_has_is_refused() {
        let read = |body| serde_json::from_value::<NewPostalAddress>(body).map(PostalAddress::from);
        let london = PostalAddress { locality: Some("London".to_owned()), ..PostalAddress::default() };
        assert_eq!(read(json!({ "locality": "London", "region": null })).unwrap(), london);
        assert!(read(json!({ "locality": "London", "city": "London" })).is_err());
    }

    #[test]
    fn the_contract_says_how_long_its_members_may_be_and_that_there_is_one() {
        let schema = schemars::schema_for!(NewPostalAddress).to_value();
        assert_eq!(schema["minProperties"], 1);
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["street"]["maxLength"], 300);
        assert_eq!(schema["properties"]["postal_code"]["maxLength"], 20);
    }
}
