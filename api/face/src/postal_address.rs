//! Postal addresses in request bodies.

use std::borrow::Cow;
use std::fmt;

use kernel::PostalAddress;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};

use crate::form;

/// A postal address as clients send it. The command validates it.
#[derive(Debug)]
pub struct NewPostalAddress(Members);

/// A postal address, with at least one of its members.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
struct Members {
    /// Street and number, post office box or care-of line: one or more lines, separated by line breaks; up to 300 characters.
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
    /// Postal code in the format of the country: up to 20 characters.
    #[serde(default)]
    #[schemars(with = "Option<form::PostalCode>")]
    postal_code: Option<String>,
    /// ISO 3166-1 alpha-2 country code, such as DE.
    #[serde(default)]
    #[schemars(with = "Option<form::Country>")]
    country: Option<String>,
}

impl From<NewPostalAddress> for PostalAddress {
    fn from(NewPostalAddress(members): NewPostalAddress) -> Self {
        let Members { street, locality, region, postal_code, country } = members;
        Self { street, locality, region, postal_code, country }
    }
}

impl<'de> Deserialize<'de> for NewPostalAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Object).map(Self)
    }
}

/// Accepts only an object. serde would also accept an array as the members in their order of declaration, although each is optional.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Members, A::Error> {
        Members::deserialize(MapAccessDeserializer::new(members))
    }

    /// Does not repeat the text in the error: it is personal data.
    fn visit_str<E: Error>(self, _: &str) -> Result<Members, E> {
        Err(E::invalid_type(Unexpected::Other("string"), &self))
    }
}

impl JsonSchema for NewPostalAddress {
    fn schema_name() -> Cow<'static, str> {
        "NewPostalAddress".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Members::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: serde_json::Value) -> Result<PostalAddress, String> {
        serde_json::from_value::<NewPostalAddress>(body).map(PostalAddress::from).map_err(|error| error.to_string())
    }

    #[test]
    fn a_member_that_no_address_has_is_refused() {
        let london = PostalAddress { locality: Some("London".to_owned()), ..PostalAddress::default() };
        assert_eq!(read(json!({ "locality": "London", "region": null })), Ok(london));
        let said = read(json!({ "locality": "London", "city": "London" })).unwrap_err();
        assert!(said.starts_with("unknown field `city`"), "{said}");
    }

    #[test]
    fn what_is_no_object_is_refused_without_showing_it() {
        for (body, what) in [(json!(["1 Main Street", "Springfield"]), "sequence"), (json!("1 Main Street"), "string")]
        {
            assert_eq!(read(body), Err(format!("invalid type: {what}, expected an object")));
        }
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
