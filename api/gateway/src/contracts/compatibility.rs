//! Checks whether stored events can still be decoded with a changed schema.

use std::collections::BTreeSet;

use serde_json::Value;

/// Compares a changed schema of an event with that of stored events, and returns one line for each incompatibility. Empty: compatible.
///
/// Compatible changes are: a new optional member, a new allowed value, and other descriptions. Everything else needs a new version of the
/// event, beside the old one.
pub fn incompatible(stored: &Value, changed: &Value) -> Vec<String> {
    let mut compare = Compare { stored, changed, found: Vec::new() };
    compare.schemas("", stored, changed, 0);
    compare.found
}

struct Compare<'a> {
    stored: &'a Value,
    changed: &'a Value,
    found: Vec<String>,
}

impl<'a> Compare<'a> {
    fn schemas(&mut self, at: &str, old: &'a Value, new: &'a Value, depth: usize) {
        // Schemas of events are trees; a recursive one is compared only down to this depth.
        if depth > 12 {
            return;
        }
        let (old, new) = (resolve(self.stored, old), resolve(self.changed, new));
        self.types(at, old, new);
        self.values(at, old, new);
        self.bounds(at, old, new);
        let properties = |schema: &'a Value| schema.get("properties").and_then(Value::as_object);
        for (name, schema) in properties(old).into_iter().flatten() {
            let at = format!("{at}/{name}");
            match properties(new).and_then(|after| after.get(name)) {
                Some(changed) => self.schemas(&at, schema, changed, depth + 1),
                None => self.found.push(format!("{at}: it is gone, and what stored events say there with it")),
            }
        }
        for name in words(new, "required").difference(&words(old, "required")) {
            self.found.push(format!("{at}/{name}: it would have to be there, and stored events may lack it"));
        }
        for (keyword, step) in [("items", "/*"), ("additionalProperties", "/*")] {
            if let (Some(before), Some(after)) = (old.get(keyword), new.get(keyword)) {
                self.schemas(&format!("{at}{step}"), before, after, depth + 1);
            }
        }
        self.alternatives(at, old, new, depth);
    }

    fn types(&mut self, at: &str, old: &Value, new: &Value) {
        let (before, after) = (types(old), types(new));
        let widened = before.is_subset(&after) || (before.contains("integer") && after.contains("number"));
        if !after.is_empty() && !before.is_empty() && !widened {
            self.found.push(format!("{at}: it was {before:?}, and would be {after:?}"));
        }
    }

    fn values(&mut self, at: &str, old: &Value, new: &Value) {
        let (before, after) = (allowed(old), allowed(new));
        if let Some(after) = after {
            match before {
                Some(before) => {
                    for gone in before.iter().filter(|value| !after.contains(value)) {
                        self.found.push(format!("{at}: the value {gone} would not be allowed any more"));
                    }
                }
                None => self.found.push(format!("{at}: only certain values would be allowed")),
            }
        }
    }

    fn bounds(&mut self, at: &str, old: &Value, new: &Value) {
        let number = |schema: &Value, keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        for keyword in ["minimum", "minLength", "minItems"] {
            if number(new, keyword) > number(old, keyword) {
                self.found.push(format!("{at}: {keyword} would be stricter"));
            }
        }
        for keyword in ["maximum", "maxLength", "maxItems"] {
            let stricter = match (number(old, keyword), number(new, keyword)) {
                (Some(old), Some(new)) => new < old,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if stricter {
                self.found.push(format!("{at}: {keyword} would be stricter"));
            }
        }
        for keyword in ["pattern", "format"] {
            if new.get(keyword).is_some() && new.get(keyword) != old.get(keyword) {
                self.found.push(format!("{at}: {keyword} would be another"));
            }
        }
    }

    /// Each former alternative needs a current one that accepts all of its values.
    fn alternatives(&mut self, at: &str, old: &'a Value, new: &'a Value, depth: usize) {
        for keyword in ["anyOf", "oneOf", "allOf"] {
            let list = |schema: &'a Value| schema.get(keyword).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let (before, after) = (list(old), list(new));
            if after.is_empty() {
                continue;
            }
            for (index, alternative) in before.iter().enumerate() {
                let taken = after.iter().any(|candidate| {
                    let mut compare = Compare { stored: self.stored, changed: self.changed, found: Vec::new() };
                    compare.schemas(at, alternative, candidate, depth + 1);
                    compare.found.is_empty()
                });
                if !taken {
                    self.found.push(format!("{at}: alternative {index} of {keyword} would not be allowed any more"));
                }
            }
        }
    }
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..8 {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        match target.and_then(|pointer| document.pointer(pointer)) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

fn words<'a>(schema: &'a Value, keyword: &str) -> BTreeSet<&'a str> {
    schema.get(keyword).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn types(schema: &Value) -> BTreeSet<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => BTreeSet::from([one.as_str()]),
        _ => words(schema, "type"),
    }
}

fn allowed(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum").and_then(Value::as_array)) {
        (Some(one), _) => Some(vec![one]),
        (None, Some(several)) => Some(several.iter().collect()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(properties: Value, required: Value) -> Value {
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "$defs": { "Source": { "type": "string", "enum": ["web", "phone"] } },
        })
    }

    #[test]
    fn what_leaves_stored_events_readable_is_compatible() {
        let stored =
            event(json!({ "name": { "type": "string" }, "source": { "$ref": "#/$defs/Source" } }), json!(["name"]));
        let mut changed = event(
            json!({
                "name": { "type": ["string", "null"], "description": "other words" },
                "source": { "$ref": "#/$defs/Source" },
                "note": { "type": "string" },
            }),
            json!(["name"]),
        );
        changed["$defs"]["Source"]["enum"] = json!(["web", "phone", "fair"]);
        assert_eq!(incompatible(&stored, &changed), [""; 0]);
        assert_eq!(incompatible(&stored, &stored), [""; 0]);
    }

    #[test]
    fn what_makes_stored_events_unreadable_is_named() {
        let stored =
            event(json!({ "name": { "type": "string" }, "source": { "$ref": "#/$defs/Source" } }), json!(["name"]));
        let mut fewer_values = stored.clone();
        fewer_values["$defs"]["Source"]["enum"] = json!(["web"]);
        let mut shorter = stored.clone();
        shorter["properties"]["name"]["maxLength"] = json!(10);
        let cases = [
            (event(json!({ "source": { "$ref": "#/$defs/Source" } }), json!([])), "/name"),
            (event(json!({ "name": { "type": "integer" }, "source": {} }), json!(["name"])), "/name"),
            (event(json!({ "name": { "type": "string" }, "source": {} }), json!(["name", "source"])), "/source"),
            (fewer_values, "/source"),
            (shorter, "/name"),
        ];
        for (changed, at) in cases {
            let found = incompatible(&stored, &changed);
            assert!(found.iter().any(|line| line.starts_with(at)), "{changed} gave {found:?}");
        }
    }
}
