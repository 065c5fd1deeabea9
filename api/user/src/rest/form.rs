//! The JSON Schemas of texts in request bodies. They state the limits that `user_commands` checks.

pub use face::form::{Email, Phone};
use face::forms;
use user_commands::lengths::{NAME, PICTURE, REASON, ROLE, USER_NAME};

forms! {
    /// Name of a person, group or organization, or a title.
    Name = { "type": "string", "minLength": NAME.start(), "maxLength": NAME.end() };
    /// Reason.
    Reason = { "type": "string", "minLength": REASON.start(), "maxLength": REASON.end() };
    /// User name for signing in.
    UserName = { "type": "string", "minLength": USER_NAME.start(), "maxLength": USER_NAME.end(), "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$" };
    /// Name of a role.
    RoleName = { "type": "string", "minLength": ROLE.start(), "maxLength": ROLE.end(), "pattern": "^[a-z][a-z0-9_]*$" };
    /// Permission, as `service:resource:action`.
    Permission = { "type": "string", "pattern": "^[a-z][a-z0-9_]*:[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$" };
    /// Language tag (BCP 47).
    Locale = { "type": "string", "pattern": "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", "maxLength": 35 };
    /// Time zone name (IANA time zone database).
    TimeZone = { "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z][A-Za-z0-9_+-]*){0,2}$", "maxLength": 64 };
    /// URL of a picture.
    Picture = { "type": "string", "pattern": "^https://", "maxLength": PICTURE };
    /// Key of a preference.
    PreferenceKey = { "type": "string", "minLength": 1, "maxLength": 50, "pattern": "^[a-z][a-z_]*$" };
    /// Value of a preference.
    PreferenceValue = { "anyOf": [{ "type": "boolean" }, { "type": "integer" }, { "type": "string", "maxLength": 50 }] };
    /// Code from the text message; spaces and hyphens between the digits are ignored.
    Code = { "type": "string", "minLength": 6, "maxLength": 13, "pattern": "^ *[0-9]([ -]*[0-9]){5} *$" };
    /// Token from the link in the e-mail.
    Link = { "type": "string", "minLength": 1, "maxLength": 128 };
}
