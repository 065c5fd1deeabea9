//! Validation of values that come from clients. (Length limits: `lengths.rs`.)

use auth_aggregates::Jwk;
use kernel::Checks;

use crate::lengths;

/// Validates public keys.
pub(crate) fn keys(checks: &mut Checks, pointer: &str, keys: &[Jwk]) {
    checks.at_most(pointer, keys.len(), lengths::KEYS);
    for (index, key) in keys.iter().enumerate() {
        if key.algorithm().is_none() {
            let detail = "a public key must be of type Ed25519 (OKP), P-256 (EC) or RSA, with all its members";
            checks.refuse(format!("{pointer}/{index}"), "key", detail);
        }
    }
}

/// Validates role names: built-in ones, and those that a tenant defines.
pub(crate) fn roles(checks: &mut Checks, pointer: &str, roles: &[String]) -> Vec<String> {
    let distinct = checks.distinct(pointer, roles, lengths::ROLES);
    for (index, role) in roles.iter().enumerate() {
        checks.role_name(&format!("{pointer}/{index}"), role);
    }
    distinct
}

/// Validates scopes: permissions, or prefixes of permissions.
pub(crate) fn scopes(checks: &mut Checks, pointer: &str, scopes: &[String]) -> Vec<String> {
    let distinct = checks.distinct(pointer, scopes, lengths::SCOPES);
    for (index, scope) in scopes.iter().enumerate() {
        if !is_scope(scope) {
            let detail = "a scope must be a permission such as crm:lead:read, or a pattern such as crm:lead:* or crm:*";
            checks.refuse(format!("{pointer}/{index}"), "scope", detail);
        }
    }
    distinct
}

fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn is_scope(text: &str) -> bool {
    let mut parts: Vec<_> = text.split(':').collect();
    let all = parts.last() == Some(&"*");
    if all {
        parts.pop();
    }
    parts.iter().all(|part| is_word(part)) && if all { (1..=2).contains(&parts.len()) } else { parts.len() == 3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_permission_or_several() {
        for good in ["crm:lead:read", "crm:lead:*", "crm:*", "auth:api_key:write"] {
            assert!(is_scope(good), "{good}");
        }
        for bad in ["", "*", "crm", "crm:lead", "crm:lead:read:*", "crm::read", "CRM:lead:read", "crm:*:read", "a b:*"]
        {
            assert!(!is_scope(bad), "{bad}");
        }
    }
}
