//! Lists: which page of which resources, and the answer that has them (RFC 7644 section 3.4.2).

use serde_json::{Map, Value, json};

use super::error::ScimError;
use super::filter::{Filter, Path};
use super::json::{get, remove};
use super::visit::Visit;

/// The most resources of a page.
pub(super) const MOST: i64 = 200;
/// Of which so many are given when nothing is said.
const USUAL: i64 = 100;
/// So many resources are looked through for a filter that no index answers.
pub(super) const LOOKED_THROUGH: i64 = 1_000;

const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) filter: Option<Filter>,
    /// From 1.
    pub(super) start: i64,
    pub(super) count: i64,
    /// Which attributes are shown.
    pub(super) shown: Shown,
}

/// Which attributes are shown: only some, or all but some, of each all or a part (RFC 7644 section 3.9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    only: Vec<Path>,
    without: Vec<Path>,
}

impl Asked {
    /// By the query string.
    pub(super) fn of(visit: &Visit) -> Result<Self, ScimError> {
        let number = |name: &str| match visit.parameter(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| ScimError::value(format!("{name} must be a number"))),
        };
        Self::new(visit.parameter("filter"), number("startIndex")?, number("count")?, Shown::of(visit))
    }

    /// By a body (`.search`, section 3.4.3).
    pub(super) fn read(body: &Map<String, Value>) -> Result<Self, ScimError> {
        let number = |name: &str| match get(body, name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| ScimError::value(format!("{name} must be a number"))),
        };
        let names = |name: &str| {
            let list = get(body, name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(|name| named(name.trim())).collect()
        };
        let shown = Shown { only: names("attributes"), without: names("excludedAttributes") };
        Self::new(get(body, "filter").and_then(Value::as_str), number("startIndex")?, number("count")?, shown)
    }

    /// Out of range is no error: it means the next that is within (section 3.4.2.4).
    fn new(filter: Option<&str>, start: Option<i64>, count: Option<i64>, shown: Shown) -> Result<Self, ScimError> {
        let filter = filter.map(str::trim).filter(|text| !text.is_empty()).map(Filter::read).transpose()?;
        let (start, count) = (start.unwrap_or(1).max(1), count.unwrap_or(USUAL).clamp(0, MOST));
        Ok(Self { filter, start, count, shown })
    }

    /// The answer when all that may pass the filter was read: what does, and of that the page.
    pub(super) fn answer_of_all(&self, resources: Vec<Value>) -> Value {
        let passes = |resource: &Value| match (&self.filter, resource) {
            (Some(filter), Value::Object(resource)) => filter.passes(resource),
            _ => true,
        };
        let found: Vec<Value> = resources.into_iter().filter(passes).collect();
        let total = found.len() as i64;
        let page = found.into_iter().skip(self.start as usize - 1).take(self.count as usize);
        self.answer(total, page.collect())
    }

    /// The answer with a page of `total` resources.
    pub(super) fn answer(&self, total: i64, page: Vec<Value>) -> Value {
        let page: Vec<Value> = page.into_iter().map(|resource| self.shown.of_resource(resource)).collect();
        json!({
            "schemas": [SCHEMA],
            "totalResults": total,
            "startIndex": self.start,
            "itemsPerPage": page.len(),
            "Resources": page,
        })
    }
}

impl Shown {
    pub(super) fn of(visit: &Visit) -> Self {
        let names = |name: &str| {
            let list = visit.parameter(name).unwrap_or_default().split(',').map(str::trim);
            list.filter(|name| !name.is_empty()).map(named).collect()
        };
        Self { only: names("attributes"), without: names("excludedAttributes") }
    }

    /// Whether something of this attribute is wanted.
    pub(super) fn has(&self, attribute: &str) -> bool {
        if self.only.is_empty() {
            !self.without.iter().any(|path| path.sub.is_none() && path.names(attribute))
        } else {
            self.only.iter().any(|path| path.names(attribute))
        }
    }

    /// What of a resource is shown; its id and schemas always, and where it is unless that is left out.
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
                self.cut(&name, value);
            }
        }
        resource.into()
    }

    /// Leaves of an attribute the parts that are wanted.
    fn cut(&self, attribute: &str, value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(|value| self.cut(attribute, value)),
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

/// What is wanted by a name; what is none names nothing that there is.
fn named(name: &str) -> Path {
    Path::read(name).unwrap_or_else(|| Path { attribute: name.to_owned(), sub: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_within_what_there_is() {
        let asked = |start, count| Asked::new(None, start, count, Shown::default()).unwrap();
        let all: Vec<Value> = (1..=5).map(|id| json!({ "id": id, "schemas": [] })).collect();
        let page = |start, count| {
            let answer = asked(start, count).answer_of_all(all.clone());
            let ids: Vec<_> = answer["Resources"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
            (answer["totalResults"].clone(), answer["startIndex"].clone(), ids)
        };
        assert_eq!(page(None, None), (json!(5), json!(1), (1..=5).map(|id| json!(id)).collect()));
        assert_eq!(page(Some(4), Some(10)), (json!(5), json!(4), vec![json!(4), json!(5)]));
        assert_eq!(page(Some(-3), Some(1)), (json!(5), json!(1), vec![json!(1)]));
        assert_eq!(page(Some(9), None), (json!(5), json!(9), vec![]));
        assert_eq!(page(None, Some(0)), (json!(5), json!(1), vec![]));
        assert_eq!(asked(None, Some(9_999)).count, MOST);
    }

    #[test]
    fn only_what_is_wanted_is_shown_and_always_who_it_is() {
        let resource =
            json!({ "id": "1", "schemas": [], "userName": "a", "name": { "givenName": "A" }, "active": true });
        let shown = |only: &[&str], without: &[&str]| {
            let shown = Shown { only: paths(only), without: paths(without) }.of_resource(resource.clone());
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
            Shown { only: paths(only), without: paths(without) }.of_resource(resource.clone())
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
