//! PATCH (RFC 7644 section 3.5.2): parses the operations of a request, and applies them one by one to a resource in JSON.

use serde_json::{Map, Value, json};

use super::error::ScimError;
use super::filter::{Filter, Operator, Path};
use super::json::{get, is_primary, is_urn, remove, set, without_schema};

/// The schema of a request.
pub(super) const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Maximum number of operations in a request.
const MAX_OPERATIONS: usize = 1_000;

/// Maximum number of values of an attribute, including nested ones. Each operation scans them, and some compare each with each.
const MAX_VALUES: usize = 500;

/// The attributes of a user that have several values (RFC 7643 section 4.1.2).
const LISTS: [&str; 9] =
    ["emails", "phoneNumbers", "ims", "photos", "addresses", "groups", "entitlements", "roles", "x509Certificates"];

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operation {
    pub(super) op: Op,
    pub(super) target: Option<Target>,
    pub(super) value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Replace,
    Remove,
}

/// The target of an operation: an attribute, possibly only those values of it that pass a filter, possibly only a sub-attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) attribute: String,
    pub(super) filter: Option<Filter>,
    pub(super) sub: Option<String>,
}

impl Target {
    pub(super) fn read(text: &str) -> Result<Self, ScimError> {
        let invalid = || ScimError::path(format!("{text:?} is not a valid path"));
        let Some(text) = without_schema(text.trim()) else {
            return Ok(Self { attribute: text.trim().to_owned(), filter: None, sub: None });
        };
        let Some((attribute, rest)) = text.split_once('[') else {
            let Path { attribute, sub } = Path::read(text).ok_or_else(invalid)?;
            return Ok(Self { attribute, filter: None, sub });
        };
        let (filter, rest) = rest.rsplit_once(']').ok_or_else(invalid)?;
        let sub = match rest {
            "" => None,
            rest => Some(rest.strip_prefix('.').ok_or_else(invalid)?.to_owned()),
        };
        let path = Path::read(attribute).filter(|path| path.sub.is_none()).ok_or_else(invalid)?;
        let filter = Filter::read(filter).map_err(|error| ScimError::path(error.detail))?;
        Ok(Self { attribute: path.attribute, filter: Some(filter), sub })
    }
}

/// The operations of a request. An operation without a path is split into one for each attribute of its value.
pub(super) fn operations(body: &Map<String, Value>) -> Result<Vec<Operation>, ScimError> {
    let list = get(body, "Operations").and_then(Value::as_array);
    let list = list.ok_or_else(|| ScimError::syntax("Operations, a list of operations, is missing"))?;
    let mut operations = Vec::new();
    for (place, operation) in list.iter().enumerate() {
        let operation =
            operation.as_object().ok_or_else(|| ScimError::syntax(format!("operation {place} must be an object")))?;
        // Case-insensitive, because widely used providers send `Add` and `Replace`.
        let op = get(operation, "op").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        let op = match op.as_str() {
            "add" => Op::Add,
            "replace" => Op::Replace,
            "remove" => Op::Remove,
            _ => return Err(ScimError::syntax(format!("operation {place}: op must be add, replace or remove"))),
        };
        let value = get(operation, "value").cloned();
        match get(operation, "path").and_then(Value::as_str) {
            // It would remove what it names (RFC 7644 sections 3.5.2.1 and 3.5.2.3).
            Some(_) if op != Op::Remove && value.is_none() => {
                return Err(ScimError::value(format!("operation {place}: add and replace need a value")));
            }
            Some(path) => {
                let value = value.unwrap_or(Value::Null);
                operations.push(Operation { op, target: Some(Target::read(path)?), value });
            }
            None if op == Op::Remove => return Err(ScimError::no_target("remove needs a path")),
            None => {
                let Some(Value::Object(attributes)) = value else {
                    return Err(ScimError::syntax(format!(
                        "operation {place} has no path, so its value must be an object"
                    )));
                };
                for (path, value) in attributes {
                    // An object named by a schema's URN contains attributes of that schema. Those of other schemas are ignored.
                    if is_urn(&path)
                        && let Value::Object(within) = value
                    {
                        let ours = without_schema(&format!("{path}:x")).is_some();
                        for (path, value) in within.into_iter().filter(|_| ours) {
                            operations.push(Operation { op, target: Some(Target::read(&path)?), value });
                        }
                        continue;
                    }
                    operations.push(Operation { op, target: Some(Target::read(&path)?), value });
                }
            }
        }
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(ScimError::too_many(format!(
            "{} operations; at most {MAX_OPERATIONS} are allowed",
            operations.len()
        )));
    }
    Ok(operations)
}

/// Applies an operation to a resource. The attributes in `read_only` can't be changed.
pub(super) fn apply(
    resource: &mut Map<String, Value>,
    operation: Operation,
    read_only: &[&str],
) -> Result<(), ScimError> {
    let Operation { op, target, value } = operation;
    let Some(Target { attribute, filter, sub }) = target else { return Ok(()) };
    if read_only.iter().any(|name| name.eq_ignore_ascii_case(&attribute)) {
        // Writing the current value is allowed: providers send back what they received.
        if sub.is_none() && filter.is_none() && get(resource, &attribute) == Some(&value) {
            return Ok(());
        }
        return Err(ScimError::mutability(format!("{attribute} can't be written")));
    }
    check_size(&attribute, &value)?;
    let has_several = LISTS.iter().any(|name| name.eq_ignore_ascii_case(&attribute));
    match (filter, sub) {
        (None, None) => apply_to_attribute(resource, op, &attribute, value),
        // Without a filter, the operation applies to all values.
        (None, Some(sub)) if has_several => apply_to_values(resource, op, &attribute, None, Some(&sub), value)?,
        (None, Some(sub)) => {
            let mut inner = get(resource, &attribute).and_then(Value::as_object).cloned().unwrap_or_default();
            apply_to_attribute(&mut inner, op, &sub, value);
            set(resource, &attribute, Value::Object(inner));
        }
        (Some(filter), sub) => apply_to_values(resource, op, &attribute, Some(&filter), sub.as_deref(), value)?,
    }
    get(resource, &attribute).map_or(Ok(()), |value| check_size(&attribute, value))
}

/// Refuses a value with more than [`MAX_VALUES`] values, which would take long to scan in each operation.
fn check_size(attribute: &str, value: &Value) -> Result<(), ScimError> {
    match size(value) {
        0..=MAX_VALUES => Ok(()),
        found => Err(ScimError::too_many(format!(
            "{attribute}: {found} values, including nested ones; at most {MAX_VALUES} are allowed"
        ))),
    }
}

/// The number of values in a value, including itself and nested ones.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.iter().map(size).sum::<usize>() + 1,
        Value::Object(object) => object.values().map(size).sum::<usize>() + 1,
        _ => 1,
    }
}

/// Applies an operation to an attribute as a whole.
fn apply_to_attribute(object: &mut Map<String, Value>, op: Op, name: &str, value: Value) {
    match (op, get(object, name).cloned(), value) {
        (Op::Remove, ..) => {
            remove(object, name);
        }
        (Op::Add, Some(Value::Array(before)), value) => {
            let mut list = before;
            let added = list.len()..;
            let new = if let Value::Array(new) = value { new } else { vec![value] };
            for value in new {
                if !list.contains(&value) {
                    list.push(value);
                }
            }
            keep_one_primary(&mut list, |place| added.contains(&place));
            set(object, name, Value::Array(list));
        }
        (_, Some(Value::Object(before)), Value::Object(new)) => {
            let mut merged = before;
            for (name, value) in new {
                set(&mut merged, &name, value);
            }
            set(object, name, Value::Object(merged));
        }
        (_, _, value) => set(object, name, value),
    }
}

/// Applies an operation to the values of a list that pass a filter; without a filter, to all.
fn apply_to_values(
    resource: &mut Map<String, Value>,
    op: Op,
    attribute: &str,
    filter: Option<&Filter>,
    sub: Option<&str>,
    value: Value,
) -> Result<(), ScimError> {
    let mut list = get(resource, attribute).and_then(Value::as_array).cloned().unwrap_or_default();
    let passes = |value: &Map<String, Value>| filter.is_none_or(|filter| filter.passes(value));
    let is_it = |value: &Value| value.as_object().is_some_and(passes);
    let mut written: Vec<usize> =
        list.iter().enumerate().filter(|(_, value)| is_it(value)).map(|(place, _)| place).collect();
    let found = !written.is_empty();
    match (op, found) {
        (Op::Remove, _) => match sub {
            None => list.retain(|value| !is_it(value)),
            Some(sub) => {
                for value in list.iter_mut().filter(|value| is_it(value)) {
                    if let Value::Object(value) = value {
                        remove(value, sub);
                    }
                }
            }
        },
        (Op::Replace | Op::Add, true) => {
            for value_there in &mut *list {
                if is_it(value_there)
                    && let Value::Object(there) = value_there
                {
                    match (sub, &value) {
                        (Some(sub), value) => set(there, sub, value.clone()),
                        (None, Value::Object(new)) => {
                            for (name, value) in new {
                                set(there, name, value.clone());
                            }
                        }
                        (None, _) => return Err(ScimError::value(format!("{attribute}: a value must be an object"))),
                    }
                }
            }
        }
        (Op::Replace, false) if filter.is_some() => {
            return Err(ScimError::no_target(format!("no value of {attribute} matches the path")));
        }
        // If no value passes, a new one is added with the values that the filter requires, as in `emails[type eq "work"].value`.
        (Op::Add | Op::Replace, false) => {
            let mut new = filter.map(required_values).unwrap_or_default();
            match (sub, value) {
                (Some(sub), value) => set(&mut new, sub, value),
                (None, Value::Object(value)) => value.into_iter().for_each(|(name, value)| set(&mut new, &name, value)),
                (None, _) => return Err(ScimError::value(format!("{attribute}: a value must be an object"))),
            }
            written.push(list.len());
            list.push(Value::Object(new));
        }
    }
    if op != Op::Remove {
        keep_one_primary(&mut list, |place| written.contains(&place));
    }
    set(resource, attribute, json!(list));
    Ok(())
}

/// Ensures that a list has one primary value: if a written value is primary, all others are set to false (RFC 7644 section 3.5.2).
fn keep_one_primary(list: &mut [Value], written: impl Fn(usize) -> bool) {
    let Some(chosen) = (0..list.len()).rev().find(|place| written(*place) && is_primary(&list[*place])) else { return };
    for (place, value) in list.iter_mut().enumerate() {
        if place != chosen
            && is_primary(value)
            && let Value::Object(value) = value
        {
            set(value, "primary", false.into());
        }
    }
}

/// The values that an object must have for a filter to pass, as far as they follow from its `eq` conditions.
fn required_values(filter: &Filter) -> Map<String, Value> {
    match filter {
        Filter::And(a, b) => required_values(a).into_iter().chain(required_values(b)).collect(),
        Filter::Compare(path, Operator::Equal, value) if path.sub.is_none() => {
            Map::from_iter([(path.attribute.clone(), value.clone())])
        }
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(resource: Value, operations_of: Value) -> Result<Value, ScimError> {
        let Value::Object(mut resource) = resource else { panic!("an object") };
        let body = json!({ "schemas": [SCHEMA], "Operations": operations_of });
        for operation in operations(body.as_object().unwrap())? {
            apply(&mut resource, operation, &["id", "meta"])?;
        }
        Ok(resource.into())
    }

    fn user() -> Value {
        json!({ "id": "1", "userName": "babs", "name": { "givenName": "Barbara" }, "active": true,
                "emails": [{ "value": "babs@example.com", "type": "work" }] })
    }

    #[test]
    fn the_examples_of_rfc_7644_do_what_it_says() {
        let added = json!([{ "op": "add", "value": { "emails": [{ "value": "babs@jensen.org", "type": "home" }], "nickname": "Babs" } }]);
        let now = patched(user(), added).unwrap();
        assert_eq!(now["emails"].as_array().unwrap().len(), 2);
        assert_eq!(now["nickname"], "Babs");
        let again =
            json!([{ "op": "add", "path": "emails", "value": [{ "value": "babs@jensen.org", "type": "home" }] }]);
        assert_eq!(patched(now.clone(), again).unwrap(), now, "what is there already is not there twice");
        let removed = json!([{ "op": "remove", "path": "emails[type eq \"work\" and value ew \"example.com\"]" }]);
        assert_eq!(patched(now, removed).unwrap()["emails"].as_array().unwrap().len(), 1);
        let replaced = json!([
            { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "b@example.com" },
            { "op": "replace", "path": "name.familyName", "value": "Jensen" },
            { "op": "replace", "value": { "active": false, "name": { "givenName": "B" } } },
        ]);
        let now = patched(user(), replaced).unwrap();
        assert_eq!(now["emails"], json!([{ "value": "b@example.com", "type": "work" }]));
        assert_eq!(now["name"], json!({ "givenName": "B", "familyName": "Jensen" }));
        assert_eq!(now["active"], false);
    }

    #[test]
    fn of_a_list_one_value_is_the_primary_one_and_it_is_the_one_that_became_it_last() {
        let user = json!({ "emails": [
            { "value": "a@example.com", "type": "work", "primary": true }, { "value": "b@example.com", "type": "home" },
        ] });
        let primary = |operation: Value| {
            let now = patched(user.clone(), json!([operation])).unwrap();
            let all = now["emails"].as_array().unwrap().iter().filter(|email| is_primary(email));
            all.map(|email| email["value"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let c = json!([{ "value": "c@example.com", "primary": true }]);
        for (operation, expected) in [
            (json!({ "op": "add", "path": "emails", "value": c }), "c@example.com"),
            (json!({ "op": "add", "value": { "emails": c } }), "c@example.com"),
            (json!({ "op": "add", "path": "emails", "value": [{ "value": "c@example.com" }] }), "a@example.com"),
            (json!({ "op": "replace", "path": "emails[type eq \"home\"].primary", "value": true }), "b@example.com"),
            (json!({ "op": "add", "path": "emails[type eq \"home\"].primary", "value": "True" }), "b@example.com"),
            (
                json!({ "op": "replace", "path": "emails[type eq \"home\"]", "value": { "primary": true } }),
                "b@example.com",
            ),
            (json!({ "op": "add", "path": "emails[type eq \"other\"]", "value": c[0] }), "c@example.com"),
            (
                json!({ "op": "replace", "path": "emails[primary eq true].value", "value": "d@example.com" }),
                "d@example.com",
            ),
            (json!({ "op": "replace", "path": "emails", "value": c }), "c@example.com"),
        ] {
            assert_eq!(primary(operation.clone()), [expected], "{operation}");
        }
    }

    #[test]
    fn what_widely_used_providers_send_is_taken() {
        let sent = json!([
            { "op": "Replace", "path": "active", "value": "False" },
            { "op": "Add", "path": "phoneNumbers[type eq \"work\"].value", "value": "+1" },
            { "op": "Add", "path": "urn:ietf:params:scim:schemas:core:2.0:User:title", "value": "Guide" },
            // An attribute of another schema is not ours, even if it has the same name.
            { "op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:title", "value": "x" },
            { "op": "Add", "value": { "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "title": "y" } } },
            { "op": "replace", "value": { "name.givenName": "Babs", "USERNAME": "b" } },
        ]);
        let now = patched(user(), sent).unwrap();
        assert_eq!(now["phoneNumbers"], json!([{ "type": "work", "value": "+1" }]));
        assert_eq!((&now["title"], &now["userName"]), (&json!("Guide"), &json!("b")));
        assert_eq!((&now["name"]["givenName"], &now["active"]), (&json!("Babs"), &json!("False")));
    }

    #[test]
    fn a_part_of_a_list_without_a_filter_is_that_of_each_value() {
        let set = |path: &str, value: &str| json!([{ "op": "replace", "path": path, "value": value }]);
        let now = patched(user(), set("emails.value", "b@example.com")).unwrap();
        assert_eq!(now["emails"], json!([{ "value": "b@example.com", "type": "work" }]));
        let now = patched(now, set("phoneNumbers.value", "+1")).unwrap();
        assert_eq!(now["phoneNumbers"], json!([{ "value": "+1" }]), "the first one");
        let now = patched(now, json!([{ "op": "remove", "path": "emails.type" }])).unwrap();
        assert_eq!(now["emails"], json!([{ "value": "b@example.com" }]));
    }

    #[test]
    fn what_takes_long_to_be_looked_through_is_refused() {
        let add = |value: Value| json!({ "op": "add", "path": "emails", "value": value });
        let many = |from: usize, to: usize| (from..to).map(|one| json!(one)).collect::<Value>();
        let within = json!({ "value": { "of": many(0, 500) } });
        let keys: Map<String, Value> = (0..500).map(|one| (one.to_string(), json!(one))).collect();
        for operations in [
            json!([add(many(0, 500))]),
            json!([add(many(0, 300)), add(many(300, 600))]),
            json!([add(json!([within]))]),
            json!([{ "op": "replace", "path": "name", "value": keys }]),
        ] {
            assert_eq!(patched(user(), operations).unwrap_err().scim_type, Some("tooMany"));
        }
        assert!(patched(user(), json!([add(many(0, 300)), add(many(0, 300))])).is_ok());
    }

    #[test]
    fn what_can_not_be_done_is_refused_with_its_reason() {
        let refused = |operation: Value| patched(user(), json!([operation])).unwrap_err().scim_type;
        assert_eq!(refused(json!({ "op": "remove" })), Some("noTarget"));
        assert_eq!(refused(json!({ "op": "move", "path": "title" })), Some("invalidSyntax"));
        assert_eq!(refused(json!({ "op": "add", "value": 3 })), Some("invalidSyntax"));
        assert_eq!(refused(json!({ "op": "add", "path": "title" })), Some("invalidValue"));
        assert_eq!(refused(json!({ "op": "replace", "path": "phoneNumbers" })), Some("invalidValue"));
        assert_eq!(refused(json!({ "op": "add", "path": "a b", "value": 3 })), Some("invalidPath"));
        assert_eq!(refused(json!({ "op": "add", "path": "emails[type eq", "value": 3 })), Some("invalidPath"));
        assert_eq!(refused(json!({ "op": "replace", "path": "id", "value": "2" })), Some("mutability"));
        let nobody = json!({ "op": "replace", "path": "emails[type eq \"other\"].value", "value": "x" });
        assert_eq!(refused(nobody), Some("noTarget"));
        assert_eq!(patched(user(), json!([{ "op": "replace", "path": "id", "value": "1" }])).unwrap(), user());
    }
}
