//! GraphQL introspection, and the query fields that it shows.

use reqwest::Method;
use serde_json::{Value, json};

use crate::needs::ID;
use crate::world::{Answer, World};

/// The schema from introspection.
pub struct Schema(Value);

/// A field of a namespace, with its required arguments.
pub struct Question {
    /// `namespace.field`.
    pub name: String,
    /// The text of the query, with `@` in the place of the selection set.
    pub text: String,
    /// The type of the field.
    pub of: String,
}

impl Schema {
    pub async fn of(world: &World) -> Self {
        const SCHEMA: &str = "{ __schema { queryType { name } subscriptionType { name } types { name kind fields {
            name args { name defaultValue type { kind name ofType { kind name ofType { kind name } } } }
            type { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";
        let mut answer = Answer::of(world.request(Method::POST, "/graphql").json(&json!({ "query": SCHEMA }))).await;
        Self(answer.body["data"]["__schema"].take())
    }

    /// The names of all types with fields.
    pub fn objects(&self) -> impl Iterator<Item = &str> {
        let types = self.0["types"].as_array().unwrap().iter();
        types.filter(|ty| ty["kind"] == "OBJECT").map(|ty| ty["name"].as_str().unwrap())
    }

    /// The fields of a type; empty if it is not an object.
    pub fn fields(&self, of: &str) -> &[Value] {
        let ty = self.0["types"].as_array().unwrap().iter().find(|ty| ty["name"] == of).unwrap();
        ty["fields"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Every field of every namespace of a root type. `given` supplies the values of arguments.
    pub fn questions(&self, root: &str, given: impl Fn(&str, &str) -> Option<String>) -> Vec<Question> {
        let operation = if root == "queryType" { "query" } else { "subscription" };
        let mut questions = Vec::new();
        for namespace in self.fields(self.0[root]["name"].as_str().unwrap()) {
            for field in self.fields(named(&namespace["type"])) {
                let (space, field_name) = (namespace["name"].as_str().unwrap(), field["name"].as_str().unwrap());
                let name = format!("{space}.{field_name}");
                let required = field["args"].as_array().unwrap().iter().filter(|arg| arg["type"]["kind"] == "NON_NULL");
                let args: Vec<_> = required
                    .filter(|arg| arg["defaultValue"].is_null())
                    .map(|arg| {
                        let argument = arg["name"].as_str().unwrap();
                        let value = given(&name, argument).unwrap_or_else(|| match named(&arg["type"]) {
                            "UUID" => format!("\"{ID}\""),
                            "DateTime" => "\"2026-01-01T00:00:00Z\"".to_owned(),
                            // The id of a dead letter.
                            "String" if argument == "id" => "\"projection.leads.1\"".to_owned(),
                            "String" => "\"crm\"".to_owned(),
                            "PolicyChange" => "{}".to_owned(),
                            other => panic!("no value is known for an argument of type {other}"),
                        });
                        format!("{argument}: {value}")
                    })
                    .collect();
                let args = if args.is_empty() { String::new() } else { format!("({})", args.join(", ")) };
                let text = format!("{operation} {{ {space} {{ {field_name}{args} {{ @ }} }} }}");
                questions.push(Question { name, text, of: named(&field["type"]).to_owned() });
            }
        }
        assert!(!questions.is_empty());
        questions
    }
}

/// The name of a type without list and non-null wrappers.
pub fn named(ty: &Value) -> &str {
    ty["name"].as_str().unwrap_or_else(|| named(&ty["ofType"]))
}
