//! Alternative headers of columns that several kinds of imports share: the parts of a postal address.

/// City, town or village.
pub const LOCALITY: &[&str] = &["city"];
/// State, province, prefecture or county.
pub const REGION: &[&str] = &["state"];
/// Postal code.
pub const POSTAL_CODE: &[&str] = &["zip", "postcode"];
