//! The columns of a file of users, and the validation of its rows.

use std::collections::HashMap;

use importing::{Field, also};
use kernel::{Checks, PostalAddress, composed};
use user_aggregates::{ImportKind, Login, Profile};

use crate::lengths;
use crate::profile::ProfileFields;
use crate::user::{LoginFields, named};

/// The fields that a column can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserField {
    Email,
    Name,
    UserName,
    GivenName,
    FamilyName,
    Title,
    Phone,
    Street,
    Locality,
    Region,
    PostalCode,
    Country,
    Picture,
    Locale,
    TimeZone,
    Roles,
    Groups,
}

impl UserField {
    /// The fields that apply to invitations.
    pub(super) const OF_INVITATIONS: &'static [Self] = &[Self::Email, Self::Name, Self::Roles, Self::Groups];
}

impl Field for UserField {
    const ALL: &'static [Self] = &[
        Self::Email,
        Self::Name,
        Self::UserName,
        Self::GivenName,
        Self::FamilyName,
        Self::Title,
        Self::Phone,
        Self::Street,
        Self::Locality,
        Self::Region,
        Self::PostalCode,
        Self::Country,
        Self::Picture,
        Self::Locale,
        Self::TimeZone,
        Self::Roles,
        Self::Groups,
    ];
    const REQUIRED: &'static [Self] = &[Self::Email];
    const OF: &'static str = "a user";

    fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Name => "name",
            Self::UserName => "user_name",
            Self::GivenName => "given_name",
            Self::FamilyName => "family_name",
            Self::Title => "title",
            Self::Phone => "phone",
            Self::Street => "street",
            Self::Locality => "locality",
            Self::Region => "region",
            Self::PostalCode => "postal_code",
            Self::Country => "country",
            Self::Picture => "picture",
            Self::Locale => "locale",
            Self::TimeZone => "time_zone",
            Self::Roles => "roles",
            Self::Groups => "groups",
        }
    }

    fn also(self) -> &'static [&'static str] {
        match self {
            Self::Locality => also::LOCALITY,
            Self::Region => also::REGION,
            Self::PostalCode => also::POSTAL_CODE,
            _ => &[],
        }
    }

    fn is_telephone_number(self) -> bool {
        self == Self::Phone
    }
}

/// A valid row.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRow {
    /// The line of the file on which it begins.
    pub(super) line: u64,
    pub(super) login: Login,
    pub(super) profile: Profile,
    /// Role names, without duplicates.
    pub(super) roles: Vec<String>,
    /// Names or ids of groups, without duplicates.
    pub(super) groups: Vec<String>,
}

/// Builds the row of a user, and collects validation errors.
pub(super) fn read(line: u64, cells: Vec<(UserField, String)>, kind: ImportKind, checks: &mut Checks) -> UserRow {
    let (mut login, mut profile) = (LoginFields::default(), ProfileFields::default());
    let (mut address, mut roles, mut groups) = (PostalAddress::default(), Vec::new(), Vec::new());
    for (field, text) in cells {
        match field {
            UserField::Email => login.email = text,
            UserField::UserName => login.user_name = Some(text),
            UserField::Name => profile.name = text,
            UserField::GivenName => profile.given_name = Some(text),
            UserField::FamilyName => profile.family_name = Some(text),
            UserField::Title => profile.title = Some(text),
            UserField::Phone => profile.phone = Some(text),
            UserField::Street => address.street = Some(text),
            UserField::Locality => address.locality = Some(text),
            UserField::Region => address.region = Some(text),
            UserField::PostalCode => address.postal_code = Some(text),
            UserField::Country => address.country = Some(text),
            UserField::Picture => profile.picture = Some(text),
            UserField::Locale => profile.locale = Some(text),
            UserField::TimeZone => profile.time_zone = Some(text),
            UserField::Roles => roles = list(checks, "/roles", &text, lengths::ROLES),
            UserField::Groups => groups = list(checks, "/groups", &text, lengths::GROUPS),
        }
    }
    let login = if login.email.is_empty() {
        checks.refuse("/email", "empty", "this can't be empty");
        Login::default()
    } else {
        login.check(checks)
    };
    let profile = match kind {
        ImportKind::Invitations if profile.name.is_empty() => Profile::default(),
        ImportKind::Invitations => named(checks.line("/name", &profile.name, lengths::NAME).into()),
        // The parts of the address are separate columns, so errors are reported for these.
        ImportKind::Users => Profile {
            address: (!address.is_empty()).then(|| address.check(checks, "").into()),
            ..profile.check(checks)
        },
    };
    UserRow { line, login, profile, roles, groups }
}

/// Splits a cell that has several values, separated by semicolons.
fn list(checks: &mut Checks, pointer: &str, text: &str, most: usize) -> Vec<String> {
    let text = composed(text);
    let all: Vec<String> = text.split(';').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect();
    checks.distinct(pointer, &all, most)
}

/// Refuses a login name that an earlier row of the file has.
pub(super) fn again(seen: &mut HashMap<String, u64>, row: &UserRow, checks: &mut Checks) {
    let email = row.login.names().next();
    for name in row.login.names() {
        if let Some(line) = seen.get(name) {
            let pointer = if Some(name) == email { "/email" } else { "/user_name" };
            let detail =
                format!("line {line} has the same e-mail address or user name; each may belong to one user only");
            checks.refuse(pointer, "duplicate_in_file", detail);
        }
    }
    if checks.ok() {
        seen.extend(row.login.names().map(|name| (name.to_owned(), row.line)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Said = Vec<(String, &'static str)>;

    fn row(kind: ImportKind, cells: &[(UserField, &str)]) -> Result<UserRow, Said> {
        let mut checks = Checks::default();
        let cells = cells.iter().map(|(field, text)| (*field, (*text).to_owned())).collect();
        let row = read(7, cells, kind, &mut checks);
        let errors: Said = checks.into_errors().into_iter().map(|error| (error.pointer, error.code)).collect();
        if errors.is_empty() { Ok(row) } else { Err(errors) }
    }

    const ADA: [(UserField, &str); 2] = [(UserField::Email, "Ada@Example.com"), (UserField::Name, "Ada Lovelace")];

    #[test]
    fn a_full_row_becomes_a_user() {
        let more = [
            (UserField::UserName, "Ada"),
            (UserField::GivenName, "Ada"),
            (UserField::FamilyName, "Lovelace"),
            (UserField::Title, "Countess"),
            (UserField::Phone, "+44 20 7946 0958"),
            (UserField::Street, "12 St James's Square\nFlat 3"),
            (UserField::Locality, "London"),
            (UserField::PostalCode, "SW1Y 4JH"),
            (UserField::Country, "gb"),
            (UserField::Picture, "https://example.com/ada.png"),
            (UserField::Locale, "en-GB"),
            (UserField::TimeZone, "Europe/London"),
            (UserField::Roles, "viewer; member;viewer;"),
            (UserField::Groups, "Sales team;Engines"),
        ];
        let row = row(ImportKind::Users, &[&ADA[..], &more].concat()).unwrap();
        assert_eq!(row.login.names().collect::<Vec<_>>(), ["ada@example.com", "ada"]);
        assert_eq!((row.line, row.roles, row.groups.len()), (7, vec!["member".to_owned(), "viewer".to_owned()], 2));
        assert_eq!(row.profile.phone.unwrap().reveal(), "+442079460958");
        let london = PostalAddress {
            street: Some("12 St James's Square\nFlat 3".to_owned()),
            locality: Some("London".to_owned()),
            region: None,
            postal_code: Some("SW1Y 4JH".to_owned()),
            country: Some("GB".to_owned()),
        };
        assert_eq!(row.profile.address.unwrap().reveal(), &london);
        assert_eq!(
            (row.profile.locale.as_deref(), row.profile.time_zone.as_deref()),
            (Some("en-GB"), Some("Europe/London"))
        );
    }

    #[test]
    fn each_wrong_cell_is_named_by_its_field() {
        let many = (0..51).map(|n| format!("r{n}")).collect::<Vec<_>>().join("; ");
        for (field, text, code) in [
            (UserField::UserName, "ada lovelace", "user_name"),
            (UserField::Title, "two\nlines", "control_character"),
            (UserField::Phone, "12345", "phone"),
            (UserField::Street, "1\u{7} Main Street", "control_character"),
            (UserField::Locality, "London\nLondon", "control_character"),
            (UserField::PostalCode, "123456789012345678901", "length"),
            (UserField::Country, "England", "country"),
            (UserField::Picture, "javascript:alert(1)", "picture"),
            (UserField::Locale, "german language", "locale"),
            (UserField::TimeZone, "../etc", "time_zone"),
            (UserField::TimeZone, "Europe/Atlantis", "time_zone"),
            (UserField::Roles, &many, "too_many"),
            (UserField::Groups, &many, "too_many"),
        ] {
            let error = Err(vec![(format!("/{}", field.name()), code)]);
            assert_eq!(row(ImportKind::Users, &[&ADA[..], &[(field, text)]].concat()), error);
        }
        let missing = Err(vec![("/email".to_owned(), "empty"), ("/name".to_owned(), "empty")]);
        assert_eq!(row(ImportKind::Users, &[]), missing);
        assert_eq!(
            row(ImportKind::Users, &[(UserField::Email, "nobody"), ADA[1]]),
            Err(vec![("/email".to_owned(), "email")])
        );
    }

    #[test]
    fn an_invitation_needs_no_name() {
        let invited = row(ImportKind::Invitations, &ADA[..1]).unwrap();
        assert_eq!(invited.profile, Profile::default());
    }

    #[test]
    fn the_first_row_has_what_it_signs_in_with() {
        let mut seen = HashMap::new();
        let mut said = |line, email: &str, user_name: &str| {
            let cells = [(UserField::Email, email), (UserField::Name, "x"), (UserField::UserName, user_name)];
            let row = UserRow { line, ..row(ImportKind::Users, &cells).unwrap() };
            let mut checks = Checks::default();
            again(&mut seen, &row, &mut checks);
            checks.into_errors().into_iter().map(|error| (error.pointer, error.detail)).collect::<Vec<_>>()
        };
        assert_eq!(said(2, "ada@example.com", "ada"), []);
        let pointers = |said: Vec<(String, String)>| said.into_iter().map(|(pointer, _)| pointer).collect::<Vec<_>>();
        assert_eq!(pointers(said(3, "ADA@example.com", "grace")), ["/email"]);
        // A refused row does not block later ones.
        assert_eq!(said(4, "grace@example.com", "grace"), []);
        assert_eq!(pointers(said(5, "x@example.com", "Ada")), ["/user_name"]);
        let both = said(6, "grace@example.com", "ada");
        assert!(both[0].1.contains("line 4") && both[1].1.contains("line 2"), "{both:?}");
    }
}
