use crm_api::Crm;
use crm_commands::{AccountFields, ContactFields, CreateAccount, CreateContact};
use face::Domain;
use kernel::{Caller, Role};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn another_tenants_lead_is_unknown() {
    let world = World::start().await;
    let lead = world.lead("ada").await;
    let stranger = Caller::new(testbed::tenant(), "eve", &[Role::Admin], Crm::grants());
    let asked = format!(
        "lead(id: \"{lead}\") {{ name }} leads {{ totalCount nodes {{ name }} }} leadHistory(id: \"{lead}\") {{ change }}"
    );
    let (seen, errors) = world.ask_as(stranger, &asked).await;
    assert_eq!(errors, json!([]));
    assert_eq!(seen, json!({ "lead": null, "leads": { "totalCount": 0, "nodes": [] }, "leadHistory": [] }));
}

#[tokio::test]
async fn who_lacks_the_permission_is_refused_with_its_name() {
    let world = World::start().await;
    let pipeline = world.pipeline(None).await.pipeline;
    let nobody = || world.caller(&[]);
    for (fields, permission) in [
        ("leads { totalCount }".to_owned(), "crm:lead:read"),
        ("contacts { totalCount }".to_owned(), "crm:contact:read"),
        ("accounts { totalCount }".to_owned(), "crm:account:read"),
        ("opportunities { totalCount }".to_owned(), "crm:opportunity:read"),
        ("pipelines { name }".to_owned(), "crm:pipeline:read"),
        (format!("pipeline(id: \"{pipeline}\") {{ name }}"), "crm:pipeline:read"),
        (format!("pipelineBoard(pipelineId: \"{pipeline}\") {{ name }}"), "crm:opportunity:read"),
    ] {
        let (_, errors) = world.ask_as(nobody(), &fields).await;
        let extensions = &errors[0]["extensions"];
        assert_eq!(
            (&extensions["code"], &extensions["status"]),
            (&json!("permission_missing"), &json!(403)),
            "{errors}"
        );
        assert_eq!(extensions["permission"], permission, "{fields}");
    }
}

#[tokio::test]
async fn history_is_for_those_who_may_see_it() {
    let world = World::start().await;
    let lead = world.lead("ada").await;
    let details = ContactFields { name: "Ada".to_owned(), ..ContactFields::default() };
    let contact = world.command(None, CreateContact { details, ..CreateContact::default() }).await.unwrap();
    let details = AccountFields { name: "Engines".to_owned(), ..AccountFields::default() };
    let account = world.command(None, CreateAccount { details, owner: None }).await.unwrap();
    let asked = [
        (format!("leadHistory(id: \"{lead}\") {{ change actor }}"), "captured"),
        (format!("leadStanding(id: \"{lead}\") {{ change actor }}"), "captured"),
        (format!("contactHistory(id: \"{contact}\") {{ change actor }}"), "created"),
        (format!("accountHistory(id: \"{account}\") {{ change actor }}"), "created"),
    ];
    for (fields, began) in &asked {
        for role in [Role::Viewer, Role::Member] {
            let (_, errors) = world.ask_as(world.caller(&[role]), fields).await;
            assert_eq!(errors[0]["extensions"]["permission"], "crm:history:read", "{role:?} {fields}: {errors}");
        }
        for role in [Role::Admin, Role::Manager, Role::Auditor] {
            let (seen, errors) = world.ask_as(world.caller(&[role]), fields).await;
            assert_eq!(errors, json!([]), "{role:?} {fields}");
            assert!(seen.to_string().contains(began), "{role:?}: {seen}");
        }
    }
}

#[tokio::test]
async fn a_value_that_postgres_does_not_know_is_the_callers_fault() {
    let world = World::start().await;
    for fields in [
        "contacts(filter: {email: \"a\\u0000b\"}) { nodes { id } }",
        "leads(filter: {owner: \"a\\u0000b\"}) { totalCount }",
    ] {
        let (_, errors) = world.ask_as(world.caller(&[Role::Viewer]), fields).await;
        let extensions = &errors[0]["extensions"];
        assert_eq!(
            (&extensions["code"], &extensions["status"]),
            (&json!("value_not_allowed"), &json!(400)),
            "{errors}"
        );
    }
}
