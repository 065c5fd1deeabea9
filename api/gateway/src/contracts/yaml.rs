//! Writes a simple subset of YAML. Strings are quoted as in JSON, which YAML reads the same.

use std::fmt::Write;

use serde_json::Value;

/// The document as YAML 1.2, in block style.
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

fn block(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let _ = write!(text, "{:indent$}{}:", "", key(name));
                below(text, value, indent + 2);
            }
        }
        Value::Array(items) => {
            for item in items {
                let _ = write!(text, "{:indent$}-", "");
                below(text, item, indent + 2);
            }
        }
        scalar => {
            let _ = writeln!(text, "{:indent$}{scalar}", "");
        }
    }
}

fn below(text: &mut String, value: &Value, indent: usize) {
    let nested = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        text.push('\n');
        block(text, value, indent);
    } else {
        let _ = writeln!(text, " {value}");
    }
}

/// A key: unquoted if it is a plain word, else quoted.
fn key(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&name.to_lowercase().as_str());
    if plain { name.to_owned() } else { Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn it_reads_as_yaml() {
        let value = json!({ "a": { "$ref": "#/x", "list": [1, "two: three", {"on": null}], "none": [] }, "b": "x\ny" });
        let expected = "a:\n  \"$ref\": \"#/x\"\n  list:\n    - 1\n    - \"two: three\"\n    -\n      \"on\": null\n  \
                        none: []\nb: \"x\\ny\"\n";
        assert_eq!(super::write(&value), expected);
    }
}
