//! Recognizes denials (refusals of authenticated callers for lack of permission) in responses, and passes them to the recorder of the
//! auth service. Responses of other processes are not considered, because those processes record their own denials.

use auth_api::provider::ClientAddressHeader;
use auth_api::trust::{Denials, Seen};
use face::{Denied, Problem};
use juniper::{DefaultScalarValue, ExecutionError, ScalarValue as _, Value};
use kernel::Caller;
use poem::http::{Method, StatusCode, header};
use poem::{PathPattern, Request, Response};
use uuid::Uuid;

/// Passes denials in this process's responses to the recorder. Cheap to clone.
#[derive(Clone)]
pub struct DenialRecorder {
    denials: Denials,
    client_address: ClientAddressHeader,
}

impl DenialRecorder {
    /// A recorder that passes denials to `denials`.
    pub const fn new(denials: Denials, client_address: ClientAddressHeader) -> Self {
        Self { denials, client_address }
    }

    /// The data of a request that a record of a denial contains.
    pub fn see(&self, id: Uuid, request: &Request) -> Seen {
        let agent = request.headers().get(header::USER_AGENT).cloned();
        Seen { request: id, address: self.client_address.address(request), agent }
    }

    /// Records the denials in a response to the caller.
    pub fn record_answer(
        &self,
        caller: &Caller,
        seen: &Seen,
        method: &Method,
        answered: &Result<Response, poem::Error>,
    ) {
        let (denied, route): (Vec<Denied>, _) = match answered {
            Ok(response) => match response.data::<face::Denials>() {
                Some(face::Denials(denied)) => (denied.clone(), response.data::<PathPattern>()),
                None => return,
            },
            Err(error) => match error.downcast_ref::<Problem>() {
                Some(problem) => (Denied::of(problem.refusal()).into_iter().collect(), error.data::<PathPattern>()),
                None => return,
            },
        };
        let route = route.map_or("", |pattern| &*pattern.0);
        self.record(caller, seen, &format!("{method} {route}"), &denied);
    }

    /// Records denials of `operation`, or of single GraphQL fields.
    pub fn record(&self, caller: &Caller, seen: &Seen, operation: &str, denied: &[Denied]) {
        for one in denied {
            match &one.field {
                Some(field) => self.denials.note(caller, seen, &format!("graphql {field}"), one),
                None => self.denials.note(caller, seen, operation, one),
            }
        }
    }
}

/// The denials among the errors of a GraphQL response; each missing permission once, even if several fields need it.
pub fn of_fields(query: &str, errors: &[ExecutionError<DefaultScalarValue>]) -> Vec<Denied> {
    let mut found: Vec<Denied> = Vec::new();
    for error in errors {
        let Value::Object(extensions) = error.error().extensions() else { continue };
        let said = |member: &str| extensions.get_field_value(member);
        let text = |member: &str| said(member)?.as_scalar()?.try_to_string();
        if said("status") != Some(&Value::scalar(i32::from(StatusCode::FORBIDDEN.as_u16()))) {
            continue;
        }
        let (Some(code), permission) = (text("code"), text("permission")) else { continue };
        if !found.iter().any(|one| one.code == code && one.permission == permission) {
            let field = field_at(query, error.location().index()).unwrap_or_default().to_owned();
            found.push(Denied { code, permission, field: Some(field) });
        }
    }
    found
}

/// The name of the field at a byte offset of a query. Skips an alias: names are from the schema, while aliases are arbitrary text of the
/// client.
fn field_at(query: &str, index: usize) -> Option<&str> {
    let rest = query.get(index..)?;
    let name = name(rest);
    let after = rest[name.len()..].trim_start();
    match after.strip_prefix(':') {
        Some(after) => Some(self::name(after.trim_start())),
        None => Some(name),
    }
}

fn name(text: &str) -> &str {
    let end = text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_as_the_schema_has_it() {
        let query = "{ crm { mine : leads(first: 1) { nodes { id } } pipelines{id} } }";
        let at = |text: &str| field_at(query, query.find(text).unwrap());
        assert_eq!(at("mine"), Some("leads"));
        assert_eq!(at("pipelines"), Some("pipelines"));
        assert_eq!(field_at(query, 1_000), None);
        assert_eq!(field_at("ä", 1), None);
    }
}
