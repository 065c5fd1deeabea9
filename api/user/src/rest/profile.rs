//! Profiles in requests and responses.

use face::{Example, NewPostalAddress, example};
use kernel::{Personal, PostalAddress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::Profile;
use user_commands::ProfileFields;

use super::form;

/// A complete profile: fields that are left out are removed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "address": {"street": "12 St James's Square", "locality": "London", "postal_code": "SW1Y 4JH", "country": "GB"}, "locale": "en-GB", "time_zone": "Europe/London"}))]
pub(super) struct NewProfile {
    /// Full name, as it is displayed.
    #[schemars(with = "form::Name")]
    name: String,
    /// Given name.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    given_name: Option<String>,
    /// Family name.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    family_name: Option<String>,
    /// Job title.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    title: Option<String>,
    /// Telephone number in international form, such as +4930123456.
    #[serde(default)]
    #[schemars(with = "Option<form::Phone>")]
    phone: Option<String>,
    /// Postal address.
    #[serde(default)]
    address: Option<NewPostalAddress>,
    /// URL of an external picture. The address of an uploaded picture, as it is returned, keeps the picture that the user has now, even if
    /// that address has been replaced or removed since. Leaving it out removes the picture.
    #[serde(default)]
    #[schemars(with = "Option<form::Picture>")]
    picture: Option<String>,
    /// Preferred language (BCP 47), such as pt-BR.
    #[serde(default)]
    #[schemars(with = "Option<form::Locale>")]
    locale: Option<String>,
    /// Time zone, such as Europe/Berlin.
    #[serde(default)]
    #[schemars(with = "Option<form::TimeZone>")]
    time_zone: Option<String>,
}

impl From<NewProfile> for ProfileFields {
    fn from(body: NewProfile) -> Self {
        let NewProfile { name, given_name, family_name, title, phone, address, picture, locale, time_zone } = body;
        let address = address.map(Into::into);
        Self { name, given_name, family_name, title, phone, address, picture, locale, time_zone }
    }
}

/// The profile of a user.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Profile")]
pub(super) struct ShownProfile {
    /// Full name.
    name: String,
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<String>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    family_name: Option<String>,
    /// Job title.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Telephone number (E.164).
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    /// Postal address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<PostalAddress>,
    /// URL of the user's picture, uploaded or external.
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<String>,
    /// Preferred language (BCP 47).
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    /// Time zone (IANA time zone database).
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
}

impl Example for ShownProfile {
    fn example() -> Self {
        Self {
            name: "Ada Lovelace".to_owned(),
            given_name: Some("Ada".to_owned()),
            family_name: Some("Lovelace".to_owned()),
            title: Some("Analyst".to_owned()),
            phone: Some("+442079460123".to_owned()),
            address: Some(example::postal_address()),
            picture: None,
            locale: Some("en-GB".to_owned()),
            time_zone: Some("Europe/London".to_owned()),
        }
    }
}

impl ShownProfile {
    /// `uploaded` is the URL of the picture that the user uploaded.
    pub(super) fn new(profile: &Profile, uploaded: Option<String>) -> Self {
        let shown = |value: &Option<Personal<String>>| value.as_ref().map(|value| value.reveal().clone());
        Self {
            name: profile.name.reveal().clone(),
            given_name: shown(&profile.given_name),
            family_name: shown(&profile.family_name),
            title: profile.title.clone(),
            phone: shown(&profile.phone),
            address: profile.address.as_ref().map(|address| address.reveal().clone()),
            picture: uploaded.or_else(|| shown(&profile.picture)),
            locale: profile.locale.clone(),
            time_zone: profile.time_zone.clone(),
        }
    }
}
