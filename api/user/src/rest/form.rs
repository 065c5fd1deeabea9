//! What the contract says of texts: the forms that `user_commands` checks, once for all bodies.

pub use face::form::{Email, Phone};
use face::forms;
use user_commands::lengths::{NAME, PICTURE, REASON, ROLE, USER_NAME};

forms! {
    /// Names of people, groups, organizations; titles.
    Name = { "type": "string", "minLength": NAME.start(), "maxLength": NAME.end() };
    /// A reason.
    Reason = { "type": "string", "minLength": REASON.start(), "maxLength": REASON.end() };
    /// A name to sign in with.
    UserName = { "type": "string", "minLength": USER_NAME.start(), "maxLength": USER_NAME.end(), "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$" };
    /// The name of a role.
    RoleName = { "type": "string", "minLength": ROLE.start(), "maxLength": ROLE.end(), "pattern": "^[a-z][a-z0-9_]*$" };
    /// A permission.
    Permission = { "type": "string", "pattern": "^[a-z][a-z0-9_]*:[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$" };
    /// A language, BCP 47.
    Locale = { "type": "string", "pattern": "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", "maxLength": 35 };
    /// A name of the IANA time zone database.
    TimeZone = { "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z][A-Za-z0-9_+-]*){0,2}$", "maxLength": 64 };
    /// Where a picture is.
    Picture = { "type": "string", "pattern": "^https://", "maxLength": PICTURE };
    /// The key of a preference.
    PreferenceKey = { "type": "string", "minLength": 1, "maxLength": 50, "pattern": "^[a-z][a-z_]*$" };
    /// What a preference is.
    PreferenceValue = { "anyOf": [{ "type": "boolean" }, { "type": "integer" }, { "type": "string", "maxLength": 50 }] };
    /// What stands in a text message; spaces and hyphens between the digits do not matter.
    Code = { "type": "string", "minLength": 6, "maxLength": 13, "pattern": "^ *[0-9]([ -]*[0-9]){5} *$" };
    /// What stands in a mailed link.
    Link = { "type": "string", "minLength": 1, "maxLength": 128 };
}
