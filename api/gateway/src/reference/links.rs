//! Links in the contract: what can be done with the id of what an operation created. Testers and generators of clients follow them.

use serde_json::{Map, Value, json};

/// Adds links to each operation that creates something: to the operations whose paths continue its own with the new id.
pub fn add(document: &mut Value) {
    let contract = &*document;
    let Some(paths) = contract["paths"].as_object() else { return };
    let creating = paths.iter().filter(|(_, operations)| creates(contract, operations));
    let found: Vec<_> = creating.map(|(path, _)| (path.clone(), links(paths, path))).collect();
    for (path, links) in found.into_iter().filter(|(_, links)| !links.is_empty()) {
        document["paths"][path]["post"]["responses"]["201"]["links"] = Value::Object(links);
    }
}

/// Whether a path has an operation that answers 201 with the `id` of what it created.
fn creates(contract: &Value, operations: &Value) -> bool {
    let schema = operations.pointer("/post/responses/201/content/application~1json/schema/$ref");
    let name = schema.and_then(Value::as_str).and_then(|schema| schema.rsplit('/').next());
    name.is_some_and(|name| contract["components"]["schemas"][name]["properties"]["id"]["format"] == "uuid")
}

/// Links from the operation that creates at this path to those that take the id.
fn links(paths: &Map<String, Value>, creating: &str) -> Map<String, Value> {
    let mut links = Map::new();
    for (path, operations) in paths {
        let Some(id) = id_in(path, creating) else { continue };
        for operation in operations.as_object().into_iter().flat_map(Map::values) {
            let (Some(name), true) = (operation["operationId"].as_str(), takes(operation, id)) else { continue };
            let given = parameters(creating).map(|name| (name.to_owned(), json!(format!("$request.path.{name}"))));
            let given: Map<_, _> = given.chain([(id.to_owned(), json!("$response.body#/id"))]).collect();
            links.insert(name.to_owned(), json!({ "operationId": name, "parameters": given }));
        }
    }
    links
}

/// The name of the parameter with which a path continues this one; none if it has further ones, which the answer does not give.
fn id_in<'p>(path: &'p str, creating: &str) -> Option<&'p str> {
    let (id, rest) = path.strip_prefix(creating)?.strip_prefix("/{")?.split_once('}')?;
    parameters(rest).next().is_none().then_some(id)
}

/// The names of a path's parameters.
fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// Whether an operation takes an id there; a role, for example, is addressed by its name.
fn takes(operation: &Value, id: &str) -> bool {
    let mut parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.any(|one| one["in"] == "path" && one["name"] == id && one["schema"]["format"] == "uuid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_created_is_linked_to_what_can_be_done_with_it() {
        let contract = crate::reference::openapi();
        let links = |path: &str| contract["paths"][path]["post"]["responses"]["201"]["links"].clone();
        let lead = json!({ "operationId": "qualifyLead", "parameters": { "lead": "$response.body#/id" } });
        assert_eq!(links("/v1/crm/leads")["qualifyLead"], lead);
        let jobs = links("/v1/jobs/{service}");
        let job = json!({ "service": "$request.path.service", "job": "$response.body#/id" });
        assert_eq!((&jobs["getJob"]["parameters"], jobs.get("getJobSchedule")), (&job, None));
        let pipelines = links("/v1/crm/pipelines");
        assert!(pipelines["getPipeline"].is_object(), "{pipelines}");
        assert_eq!(pipelines.get("retireStage"), None, "it needs the id of a stage, too");
        assert_eq!(links("/v1/user/roles"), Value::Null, "a role is addressed by its name");
    }
}
