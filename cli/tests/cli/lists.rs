//! Lists of the sagas, jobs and dead letters of all tenants.

use serde_json::{Value, json};

use crate::sandbox::{Dev, Sandbox, eventually};

/// A member of each item, in order.
fn each(listed: &Value, member: &str) -> Vec<Value> {
    listed.as_array().unwrap().iter().map(|one| one[member].clone()).collect()
}

#[test]
fn without_a_tenant_those_of_all_tenants_are_listed_with_their_names() {
    let sandbox = Sandbox::new();
    let _dev = Dev::start(&sandbox);
    sandbox.ok(&["tenant", "create", "globex"]);
    let export = |tenant: &str, arguments: &str| {
        sandbox.json(&["job", "create", "--tenant", tenant, "export_leads", arguments])["id"].clone()
    };
    let ids = [export("demo", "{}"), export("globex", "{}"), export("demo", r#"{"status": ["new"]}"#)];
    let exports = ["job", "list", "--kind", "export_leads"];
    let listed = |more: &[&str]| sandbox.json(&[&exports[..], more].concat());

    let all = listed(&[]);
    assert_eq!(each(&all, "id"), [&ids[2], &ids[1], &ids[0]].map(Value::clone), "{all}");
    assert_eq!(each(&all, "tenant"), ["demo", "globex", "demo"].map(Value::from), "{all}");
    assert_eq!(each(&listed(&["--limit", "1"]), "id"), [ids[2].clone()]);
    let older = listed(&["--after", ids[2].as_str().unwrap()]);
    assert_eq!(each(&older, "id"), [&ids[1], &ids[0]].map(Value::clone), "{older}");
    let ones = listed(&["--tenant", "globex"]);
    assert_eq!((each(&ones, "id"), ones[0].get("tenant")), (vec![ids[1].clone()], None), "{ones}");

    // Their rows are some milliseconds behind.
    eventually("both tenants' sagas are listed", || {
        let listed = sandbox.json(&["saga", "list", "--saga", "provision_tenant"]);
        (each(&listed, "tenant") == ["globex", "demo"].map(Value::from)).then_some(())
    });
    let newest = sandbox.json(&["saga", "list", "--saga", "provision_tenant", "--limit", "1"]);
    assert_eq!((each(&newest, "tenant"), each(&newest, "service")), (vec![json!("globex")], vec![json!("user")]));
    assert_eq!(sandbox.json(&["dlq", "list"]), json!([]));
    for list in ["saga", "job", "dlq"] {
        let names =
            |more: &[&str]| sandbox.ok(&[&[list, "list"][..], more].concat()).lines().nth(1).unwrap().to_owned();
        let (of_all, of_one) = (names(&[]), names(&["--tenant", "demo"]));
        assert!(of_all.contains("tenant") && !of_one.contains("tenant"), "{list}: {of_all} {of_one}");
    }
}
