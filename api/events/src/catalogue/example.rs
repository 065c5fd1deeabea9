//! Example payloads, generated from the JSON Schemas of events. The result is deterministic, and valid against its schema.

use serde_json::{Map, Value, json};

/// Maximum depth of an example. Schemas of events are trees; only a schema that refers to itself reaches this depth.
const MAX_DEPTH: usize = 16;

/// A payload that is valid against the schema, with all members that the schema allows.
pub fn example(schema: &Value) -> Value {
    Generator { document: schema }.value("", schema, 0)
}

struct Generator<'a> {
    document: &'a Value,
}

impl Generator<'_> {
    fn value(&self, name: &str, schema: &Value, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#')) {
            let target = self.document.pointer(target).unwrap_or(&Value::Null);
            return self.value(name, target, depth + 1);
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(first) = list(schema, "enum").first() {
            return first.clone();
        }
        for keyword in ["oneOf", "anyOf"] {
            let chosen = list(schema, keyword).iter().find(|one| one.get("type") != Some(&json!("null")));
            if let Some(chosen) = chosen {
                let chosen = self.value(name, chosen, depth + 1);
                return self.merged(chosen, name, schema, depth);
            }
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(name, schema, depth),
            "integer" => integer(name, schema),
            "number" => json!(schema.get("minimum").and_then(Value::as_f64).unwrap_or(1.5)),
            "boolean" => json!(true),
            "string" => text(name, schema),
            _ => self.merged(Value::Null, name, schema, depth),
        }
    }

    /// Merges `value` with the members that `allOf` and `properties` of the same schema add.
    fn merged(&self, value: Value, name: &str, schema: &Value, depth: usize) -> Value {
        let mut parts: Vec<Value> =
            list(schema, "allOf").iter().map(|part| self.value(name, part, depth + 1)).collect();
        if schema.get("properties").is_some() {
            parts.push(self.object(schema, depth));
        }
        parts.into_iter().fold(value, |all, part| match (all, part) {
            (Value::Object(mut all), Value::Object(part)) => {
                all.extend(part);
                Value::Object(all)
            }
            (Value::Null, part) => part,
            (all, _) => all,
        })
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let mut members = Map::new();
        // The member `event` (the event's name) comes first, as in stored payloads.
        let properties = schema.get("properties").and_then(Value::as_object);
        let all = || properties.into_iter().flatten();
        for (name, schema) in
            all().filter(|(name, _)| *name == "event").chain(all().filter(|(name, _)| *name != "event"))
        {
            members.insert(name.clone(), self.value(name, schema, depth + 1));
        }
        Value::Object(members)
    }

    fn array(&self, name: &str, schema: &Value, depth: usize) -> Value {
        match schema.get("items") {
            Some(items) => {
                let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).max(1);
                let one = self.value(name.trim_end_matches('s'), items, depth + 1);
                Value::Array(vec![one; usize::try_from(least).unwrap_or(1)])
            }
            None => json!([]),
        }
    }
}

fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The first type of the schema that is not `null`; empty if there is none.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(several)) => {
            several.iter().filter_map(Value::as_str).find(|one| *one != "null").unwrap_or("")
        }
        _ => "",
    }
}

fn integer(name: &str, schema: &Value) -> Value {
    let wanted = match name {
        "minor" => 125_000,
        "rate_nanos" => 1_085_000_000,
        "quantity" => 3,
        _ => 42_i64,
    };
    let least = schema.get("minimum").and_then(Value::as_f64).unwrap_or(f64::MIN);
    let most = schema.get("maximum").and_then(Value::as_f64).unwrap_or(f64::MAX);
    json!((wanted as f64).max(least).min(most) as i64)
}

/// A realistic text, chosen by the schema's format or pattern, else by the member's name.
fn text(name: &str, schema: &Value) -> Value {
    let shown = match schema.get("format").and_then(Value::as_str) {
        Some("uuid") => "0197a8a0-0000-7000-8000-000000000001",
        Some("date-time") => "2026-07-01T09:30:00Z",
        Some("date") => "2026-07-01",
        Some("uri") => "https://example.com",
        _ if schema.get("pattern") == Some(&json!("^[A-Z]{3}$")) => "EUR",
        _ => match name {
            "name" => "Ada Lovelace",
            "company" => "Analytical Engines Ltd",
            "email" => "ada@example.com",
            "phone" => "+442071234567",
            "country" => "GB",
            "street" => "12 St James's Square",
            "locality" => "London",
            "region" => "Greater London",
            "postal_code" => "SW1Y 4JH",
            "title" => "Countess",
            "website" => "https://example.com",
            "industry" => "Computing",
            "owner" | "actor" => "charles",
            "reason" | "note" => "As agreed on the telephone",
            _ => "text",
        },
    };
    json!(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_alternatives_and_bounds_are_followed() {
        let schema = json!({
            "type": "object",
            "properties": {
                "who": { "anyOf": [{ "$ref": "#/$defs/Person" }, { "type": "null" }] },
                "share": { "type": "integer", "minimum": 0, "maximum": 10 },
                "tags": { "type": "array", "items": { "type": ["string", "null"] }, "minItems": 2 },
                "event": { "const": "demo.lamp.lit" },
            },
            "$defs": { "Person": { "type": "object", "properties": {
                "name": { "type": "string" }, "friend": { "$ref": "#/$defs/Person" },
            } } },
        });
        let made = example(&schema);
        assert_eq!(made.as_object().unwrap().keys().next().unwrap(), "event");
        assert_eq!((&made["share"], &made["tags"]), (&json!(10), &json!(["text", "text"])));
        assert_eq!(made["who"]["friend"]["friend"]["name"], "Ada Lovelace");
        assert_eq!(example(&schema), made);
    }
}
