//! Queries of lists, and their responses: filter, page and selected attributes (RFC 7644 section 3.4.2).

use poem::http::Method;
use serde_json::{Map, Value, json};

use super::error::ScimError;
use super::filter::{Filter, Path};
use super::json::{get, remove, string};
use super::request::ScimRequest;

/// Maximum page size.
pub(super) const MAX_COUNT: i64 = 200;
/// Default page size.
const DEFAULT_COUNT: i64 = 100;
/// Maximum number of resources that are scanned for a filter that can't be answered by an index.
pub(super) const MAX_SCANNED: i64 = 1_000;

const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// The schema of a query in a body.
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// A query of a list of resources.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ListQuery {
    pub(super) filter: Option<Filter>,
    /// The index of the first resource of the page, counted from 1.
    pub(super) start: i64,
    pub(super) count: i64,
    /// The attributes of each resource that are returned.
    pub(super) attributes: AttributeSelection,
}

/// The attributes and sub-attributes that are returned: only the requested ones, or all but the excluded ones (RFC 7644 section 3.9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AttributeSelection {
    only: Vec<Path>,
    without: Vec<Path>,
}

impl ListQuery {
    /// The query of a request: in the body of a `POST` (`.search`, section 3.4.3), otherwise in the query string.
    pub(super) fn of(incoming: &ScimRequest) -> Result<Self, ScimError> {
        if incoming.method == Method::POST {
            Self::of_body(&incoming.object(SEARCH)?)
        } else {
            Self::of_parameters(incoming)
        }
    }

    fn of_parameters(incoming: &ScimRequest) -> Result<Self, ScimError> {
        let number = |name: &str| match incoming.parameter(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| ScimError::value(format!("{name} must be a number"))),
        };
        Self::new(
            incoming.parameter("filter"),
            number("startIndex")?,
            number("count")?,
            AttributeSelection::of(incoming),
        )
    }

    fn of_body(body: &Map<String, Value>) -> Result<Self, ScimError> {
        let number = |name: &str| match get(body, name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| ScimError::value(format!("{name} must be a number"))),
        };
        let names = |name: &str| match get(body, name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                let names = list.iter().map(Value::as_str).map(|name| name.map(|name| parse_path(name.trim())));
                names.collect::<Option<_>>().ok_or_else(|| ScimError::value(format!("{name} is a list of texts")))
            }
            Some(_) => Err(ScimError::value(format!("{name} is a list of texts"))),
        };
        let attributes = AttributeSelection { only: names("attributes")?, without: names("excludedAttributes")? };
        Self::new(string(body, "filter")?.as_deref(), number("startIndex")?, number("count")?, attributes)
    }

    /// Numbers out of range are not an error; the nearest allowed value is used (section 3.4.2.4).
    fn new(
        filter: Option<&str>,
        start: Option<i64>,
        count: Option<i64>,
        attributes: AttributeSelection,
    ) -> Result<Self, ScimError> {
        let filter = filter.map(str::trim).filter(|text| !text.is_empty()).map(Filter::read).transpose()?;
        let (start, count) = (start.unwrap_or(1).max(1), count.unwrap_or(DEFAULT_COUNT).clamp(0, MAX_COUNT));
        Ok(Self { filter, start, count, attributes })
    }

    /// Filters the candidates, and returns the response with the page.
    pub(super) fn answer_filtered(&self, resources: Vec<Value>) -> Value {
        let passes = |resource: &Value| match (&self.filter, resource) {
            (Some(filter), Value::Object(resource)) => filter.passes(resource),
            _ => true,
        };
        let found: Vec<Value> = resources.into_iter().filter(passes).collect();
        let total = found.len() as i64;
        let page = found.into_iter().skip(self.start as usize - 1).take(self.count as usize);
        self.answer(total, page.collect())
    }

    /// The response with a page of `total` resources.
    pub(super) fn answer(&self, total: i64, page: Vec<Value>) -> Value {
        let page: Vec<Value> = page.into_iter().map(|resource| self.attributes.of_resource(resource)).collect();
        json!({
            "schemas": [SCHEMA],
            "totalResults": total,
            "startIndex": self.start,
            "itemsPerPage": page.len(),
            "Resources": page,
        })
    }
}

impl AttributeSelection {
    pub(super) fn of(incoming: &ScimRequest) -> Self {
        let names = |name: &str| {
            let list = incoming.parameter(name).unwrap_or_default().split(',').map(str::trim);
            list.filter(|name| !name.is_empty()).map(parse_path).collect()
        };
        Self { only: names("attributes"), without: names("excludedAttributes") }
    }

    /// Whether this attribute or a part of it is returned.
    pub(super) fn has(&self, attribute: &str) -> bool {
        if self.only.is_empty() {
            !self.without.iter().any(|path| path.sub.is_none() && path.names(attribute))
        } else {
            self.only.iter().any(|path| path.names(attribute))
        }
    }

    /// The selected attributes of a resource. `id` and `schemas` are always returned, and `meta` unless it is excluded.
    pub(super) fn of_resource(&self, resource: Value) -> Value {
        let Value::Object(mut resource) = resource else { return resource };
        let names: Vec<String> = resource.keys().cloned().collect();
        for name in names {
            if ["id", "schemas"].contains(&name.as_str()) || (name == "meta" && !self.only.is_empty()) {
                continue;
            }
            if !self.has(&name) {
                remove(&mut resource, &name);
            } else if let Some(value) = resource.get_mut(&name) {
                self.prune(&name, value);
            }
        }
        resource.into()
    }

    /// Removes the sub-attributes that are not selected from an attribute's value.
    fn prune(&self, attribute: &str, value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(|value| self.prune(attribute, value)),
            Value::Object(parts) => {
                let of_it = |list: &[Path]| {
                    let paths = list.iter().filter(|path| path.names(attribute));
                    paths.map(|path| path.sub.as_deref().map(str::to_lowercase)).collect::<Vec<_>>()
                };
                let (only, without) = (of_it(&self.only), of_it(&self.without));
                let all = self.only.is_empty();
                parts.retain(|part, _| {
                    let part = Some(part.to_lowercase());
                    if all { !without.contains(&part) } else { only.contains(&None) || only.contains(&part) }
                });
            }
            _ => {}
        }
    }
}

/// The path of an attribute name. An invalid name becomes a path that no attribute has.
fn parse_path(name: &str) -> Path {
    Path::read(name).unwrap_or_else(|| Path { attribute: name.to_owned(), sub: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_within_what_there_is() {
        let asked = |start, count| ListQuery::new(None, start, count, AttributeSelection::default()).unwrap();
        let all: Vec<Value> = (1..=5).map(|id| json!({ "id": id, "schemas": [] })).collect();
        let page = |start, count| {
            let answer = asked(start, count).answer_filtered(all.clone());
            let ids: Vec<_> = answer["Resources"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
            (answer["totalResults"].clone(), answer["startIndex"].clone(), ids)
        };
        assert_eq!(page(None, None), (json!(5), json!(1), (1..=5).map(|id| json!(id)).collect()));
        assert_eq!(page(Some(4), Some(10)), (json!(5), json!(4), vec![json!(4), json!(5)]));
        assert_eq!(page(Some(-3), Some(1)), (json!(5), json!(1), vec![json!(1)]));
        assert_eq!(page(Some(9), None), (json!(5), json!(9), vec![]));
        assert_eq!(page(None, Some(0)), (json!(5), json!(1), vec![]));
        assert_eq!(asked(None, Some(9_999)).count, MAX_COUNT);
    }

    #[test]
    fn only_what_is_wanted_is_shown_and_always_who_it_is() {
        let resource =
            json!({ "id": "1", "schemas": [], "userName": "a", "name": { "givenName": "A" }, "active": true });
        let shown = |only: &[&str], without: &[&str]| {
            let shown = AttributeSelection { only: paths(only), without: paths(without) }.of_resource(resource.clone());
            shown.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(shown(&["username", "name.givenName"], &[]), ["id", "schemas", "userName", "name"]);
        assert_eq!(shown(&[], &["NAME", "id"]), ["id", "schemas", "userName", "active"]);
        assert_eq!(
            shown(&[], &["urn:ietf:params:scim:schemas:core:2.0:User:name"]),
            ["id", "schemas", "userName", "active"]
        );
    }

    fn paths(names: &[&str]) -> Vec<Path> {
        names.iter().filter_map(|name| Path::read(name)).collect()
    }

    #[test]
    fn of_an_attribute_the_parts_are_shown_that_are_wanted() {
        let resource = json!({
            "id": "1", "schemas": [], "name": { "givenName": "A", "familyName": "B", "formatted": "A B" },
            "emails": [{ "value": "a@example.com", "type": "work" }, { "value": "b@example.com", "type": "home" }],
            "meta": { "location": "x", "version": "1" },
        });
        let shown = |only: &[&str], without: &[&str]| {
            AttributeSelection { only: paths(only), without: paths(without) }.of_resource(resource.clone())
        };
        let part = shown(&["name.GIVENname", "emails.value"], &[]);
        assert_eq!(part["name"], json!({ "givenName": "A" }));
        assert_eq!(part["emails"], json!([{ "value": "a@example.com" }, { "value": "b@example.com" }]));
        assert_eq!(part["meta"], resource["meta"], "where it is, is shown");
        assert_eq!(shown(&["name", "name.givenName"], &[])["name"], resource["name"], "all of it is more than a part");
        let user = "urn:ietf:params:scim:schemas:core:2.0:User";
        assert_eq!(shown(&[&format!("{user}:name.familyName")], &[])["name"], json!({ "familyName": "B" }));
        let left = shown(&[], &[&format!("{user}:name.formatted"), "emails.type", "meta"]);
        assert_eq!(left["name"], json!({ "givenName": "A", "familyName": "B" }));
        assert_eq!(left["emails"], json!([{ "value": "a@example.com" }, { "value": "b@example.com" }]));
        assert_eq!((&left["id"], left.get("meta")), (&json!("1"), None));
    }
}
