//! The columns of a file of leads, and the validation of its rows.

use chrono::{DateTime, NaiveTime, Utc};
use crm_aggregates::{LeadDetails, LeadSource};
use importing::{Field, also};
use kernel::{Checks, Personal, PostalAddress};

use crate::{LeadFields, owner, values};

/// The fields that a column can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeadField {
    Name,
    Company,
    Title,
    Email,
    Phone,
    Country,
    Street,
    Locality,
    Region,
    PostalCode,
    AddressCountry,
    Source,
    Owner,
    OccurredAt,
}

impl Field for LeadField {
    const ALL: &'static [Self] = &[
        Self::Name,
        Self::Company,
        Self::Title,
        Self::Email,
        Self::Phone,
        Self::Country,
        Self::Street,
        Self::Locality,
        Self::Region,
        Self::PostalCode,
        Self::AddressCountry,
        Self::Source,
        Self::Owner,
        Self::OccurredAt,
    ];
    const REQUIRED: &'static [Self] = &[Self::Name];
    const OF: &'static str = "a lead";
    // The file of `export_leads`. What it tells of a lead's life is not imported: an imported lead is a new one.
    const EXPORTED: &'static [&'static str] = &["id", "status", "captured_at"];

    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Company => "company",
            Self::Title => "title",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Country => "country",
            Self::Street => "street",
            Self::Locality => "locality",
            Self::Region => "region",
            Self::PostalCode => "postal_code",
            Self::AddressCountry => "address_country",
            Self::Source => "source",
            Self::Owner => "owner",
            Self::OccurredAt => "occurred_at",
        }
    }

    fn also(self) -> &'static [&'static str] {
        match self {
            Self::Locality => also::LOCALITY,
            Self::Region => also::REGION,
            Self::PostalCode => also::POSTAL_CODE,
            Self::OccurredAt => &["captured_at"],
            _ => &[],
        }
    }

    fn is_telephone_number(self) -> bool {
        self == Self::Phone
    }
}

/// A valid row.
#[derive(Clone, Debug, PartialEq)]
pub struct LeadRow {
    /// The line on which it begins, from 1.
    pub(super) line: u64,
    pub(super) details: LeadDetails,
    pub(super) source: LeadSource,
    pub(super) owner: Option<String>,
    pub(super) occurred_at: Option<DateTime<Utc>>,
}

/// Builds the lead of the row that begins on `line`, and collects validation errors. `source`: the default source; `now`: the latest time
/// that the row may name.
pub(super) fn read(
    line: u64,
    cells: Vec<(LeadField, String)>,
    source: LeadSource,
    checks: &mut Checks,
    now: DateTime<Utc>,
) -> LeadRow {
    let mut fields = LeadFields::default();
    let (mut said_source, mut owner, mut occurred_at) = (source, None, None);
    let (mut address, mut address_country) = (PostalAddress::default(), None);
    for (field, text) in cells {
        match field {
            LeadField::Name => fields.name = text,
            LeadField::Company => fields.company = Some(text),
            LeadField::Title => fields.title = Some(text),
            LeadField::Email => fields.email = Some(text),
            LeadField::Phone => fields.phone = Some(text),
            LeadField::Country => fields.country = Some(text),
            LeadField::Street => address.street = Some(text),
            LeadField::Locality => address.locality = Some(text),
            LeadField::Region => address.region = Some(text),
            LeadField::PostalCode => address.postal_code = Some(text),
            LeadField::AddressCountry => address_country = Some(checks.country("/address_country", &text)),
            LeadField::Source => said_source = lead_source(checks, &text).unwrap_or(source),
            LeadField::Owner => owner = Some(text),
            LeadField::OccurredAt => occurred_at = moment(checks, &text, now),
        }
    }
    fields.address = (!address.is_empty()).then_some(address);
    let mut details = fields.check(checks);
    // Without a country of its own, the address is in the lead's. An error in that is reported once.
    if details.address.is_some() || address_country.is_some() {
        let address = details.address.map(Personal::into_inner).unwrap_or_default();
        let country = address_country.or_else(|| details.country.clone());
        details.address = Some(PostalAddress { country, ..address }.into());
    }
    let owner = owner.as_deref().map(|text| owner::form(checks, text));
    LeadRow { line, details, source: said_source, owner, occurred_at }
}

fn lead_source(checks: &mut Checks, text: &str) -> Option<LeadSource> {
    let wire = text.to_lowercase().replace([' ', '-'], "_");
    let found = LeadSource::ALL.into_iter().find(|source| source.as_str() == wire);
    if found.is_none() {
        let allowed = LeadSource::ALL.map(LeadSource::as_str).join(", ");
        checks.refuse("/source", "source", format!("this is not a source of leads; allowed: {allowed}"));
    }
    found
}

/// Parses a time (RFC 3339) or a day, which means its beginning in UTC.
fn moment(checks: &mut Checks, text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let moment =
        kernel::read_time(text).or_else(|_| kernel::read_day(text).map(|day| day.and_time(NaiveTime::MIN).and_utc()));
    let Ok(moment) = moment else {
        checks.refuse(
            "/occurred_at",
            "time",
            "this is neither an RFC 3339 time such as 2026-01-31T08:00:00Z nor a day such as 2026-01-31",
        );
        return None;
    };
    if moment > now {
        checks.refuse(
            "/occurred_at",
            "occurred_in_future",
            format!("the time is in the future; allowed are times up to {}", kernel::write_time(now)),
        );
        return None;
    }
    values::day(checks, "/occurred_at", moment.date_naive());
    Some(moment)
}

#[cfg(test)]
mod tests {
    use kernel::{Clock, SystemClock};

    use super::*;

    fn row(cells: &[(LeadField, &str)]) -> Result<LeadRow, Vec<(String, &'static str)>> {
        let mut checks = Checks::default();
        let cells = cells.iter().map(|(field, text)| (*field, (*text).to_owned())).collect();
        let row = read(1, cells, LeadSource::Partner, &mut checks, SystemClock.now());
        let errors: Vec<_> = checks.into_errors().into_iter().map(|error| (error.pointer, error.code)).collect();
        if errors.is_empty() { Ok(row) } else { Err(errors) }
    }

    #[test]
    fn a_full_row_becomes_a_lead() {
        let row = row(&[
            (LeadField::Name, "Ada Lovelace"),
            (LeadField::Company, "Engines Ltd"),
            (LeadField::Email, "Ada@Example.com"),
            (LeadField::Phone, "+44 20 7946 0958"),
            (LeadField::Country, "gb"),
            (LeadField::Street, "12 St James's Square\r\nFlat 3"),
            (LeadField::Locality, "London"),
            (LeadField::PostalCode, "SW1Y 4JH"),
            (LeadField::Source, "Cold call"),
            (LeadField::Owner, "ada"),
            (LeadField::OccurredAt, "2026-01-31"),
        ])
        .unwrap();
        assert_eq!(row.details.email.unwrap().reveal(), "ada@example.com");
        assert_eq!(row.details.phone.unwrap().reveal(), "+442079460958");
        assert_eq!(row.details.country.as_deref(), Some("GB"));
        let address = PostalAddress {
            street: Some("12 St James's Square\nFlat 3".to_owned()),
            locality: Some("London".to_owned()),
            region: None,
            postal_code: Some("SW1Y 4JH".to_owned()),
            country: Some("GB".to_owned()),
        };
        assert_eq!(row.details.address, Some(address.into()));
        assert_eq!((row.source, row.owner.as_deref()), (LeadSource::ColdCall, Some("ada")));
        assert_eq!(row.occurred_at.unwrap().to_rfc3339(), "2026-01-31T00:00:00+00:00");
    }

    #[test]
    fn what_is_not_there_is_absent() {
        let said = row(&[(LeadField::Name, "Ada"), (LeadField::Country, "GB")]).unwrap();
        assert_eq!(said.details.address, None, "a country alone is the lead's");
        let abroad = row(&[(LeadField::Name, "Ada"), (LeadField::Country, "GB"), (LeadField::AddressCountry, "fr")]);
        let details = abroad.unwrap().details;
        let address = PostalAddress { country: Some("FR".to_owned()), ..PostalAddress::default() };
        assert_eq!((details.country.as_deref(), details.address), (Some("GB"), Some(address.into())));
        let row = row(&[(LeadField::Name, "Ada")]).unwrap();
        assert_eq!(row.details, LeadDetails { name: "Ada".to_owned().into(), ..LeadDetails::default() });
        assert_eq!((row.source, row.owner, row.occurred_at), (LeadSource::Partner, None, None));
    }

    #[test]
    fn each_wrong_cell_is_named_by_its_field() {
        let long = "x".repeat(201);
        for (field, text, code) in [
            (LeadField::Name, "Ada\u{0}x", "control_character"),
            (LeadField::Company, "two\nlines", "control_character"),
            (LeadField::Company, &long, "length"),
            (LeadField::Email, "nobody", "email"),
            (LeadField::Phone, "12345", "phone"),
            (LeadField::Country, "Atlantis", "country"),
            (LeadField::AddressCountry, "Atlantis", "country"),
            (LeadField::Source, "rumour", "source"),
            (LeadField::OccurredAt, "yesterday", "time"),
            (LeadField::OccurredAt, "9999-01-01", "occurred_in_future"),
            (LeadField::OccurredAt, "0001-01-01", "day_out_of_range"),
        ] {
            let name = if field == LeadField::Name { text } else { "Ada" };
            let error = Err(vec![(format!("/{}", field.name()), code)]);
            assert_eq!(row(&[(LeadField::Name, name), (field, text)]), error, "{code}");
        }
        assert_eq!(row(&[]), Err(vec![("/name".to_owned(), "empty")]));
        for (field, text, code) in [
            (LeadField::Street, "1\u{0}", "control_character"),
            (LeadField::Locality, "two\nlines", "control_character"),
            (LeadField::Region, &long, "length"),
            (LeadField::PostalCode, "123456789012345678901", "length"),
        ] {
            let error = Err(vec![(format!("/address/{}", field.name()), code)]);
            assert_eq!(row(&[(LeadField::Name, "Ada"), (field, text)]), error, "{code}");
        }
        let both = row(&[(LeadField::Name, "Ada"), (LeadField::Street, "1 Main St"), (LeadField::Country, "Atlantis")]);
        assert_eq!(both, Err(vec![("/country".to_owned(), "country")]), "once");
    }
}
