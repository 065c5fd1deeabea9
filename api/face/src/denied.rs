//! Denials: requests of authenticated callers that were refused for lack of permission. The gateway's front records them.

use kernel::{Kind, Refusal};
use serde_json::Value;

/// A denial. A response that is not a problem document (SCIM, GraphQL) carries its [`Denials`] to the front as an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The refusal's code.
    pub code: String,
    /// The missing permission, or several separated by spaces, as in the refusal.
    pub permission: Option<String>,
    /// The GraphQL field that was denied.
    pub field: Option<String>,
}

/// All denials of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denials(pub Vec<Denied>);

impl Denied {
    /// The denial that a refusal is; none: it was not refused for lack of permission.
    pub fn of(refusal: &Refusal) -> Option<Self> {
        let said = |member: &str| refusal.extra().get(member);
        let several = |value: &Value| {
            let names: Vec<&str> = value.as_array()?.iter().filter_map(Value::as_str).collect();
            Some(names.join(" "))
        };
        (refusal.kind() == Kind::Forbidden).then(|| Self {
            code: refusal.code().to_owned(),
            permission: said("permission")
                .and_then(|one| one.as_str().map(str::to_owned))
                .or_else(|| said("permissions").and_then(several)),
            field: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_caller_may_not_is_a_denial() {
        let missing = Refusal::forbidden("permission_missing", "").with("permission", "crm:lead:write");
        let exceeding = Refusal::forbidden("exceeds_own_permissions", "").with("permissions", vec!["a:b:c", "d:e:f"]);
        let denied = |refusal: &Refusal| Denied::of(refusal).map(|denied| (denied.code, denied.permission));
        let is = |code: &str, permission: &str| Some((code.to_owned(), Some(permission.to_owned())));
        assert_eq!(denied(&missing), is("permission_missing", "crm:lead:write"));
        assert_eq!(denied(&exceeding), is("exceeds_own_permissions", "a:b:c d:e:f"));
        assert_eq!(denied(&Refusal::forbidden("tenant_differs", "")), Some(("tenant_differs".to_owned(), None)));
        assert_eq!(denied(&Refusal::not_found("not_found", "")), None);
        assert_eq!(denied(&Refusal::unauthenticated("token_expired", "")), None);
    }
}
