//! An operator's commands for sagas.

use serde_json::{Value, json};

use crate::sandbox::{Dev, Sandbox, eventually};

#[test]
fn a_saga_is_listed_shown_refused_what_it_can_not_do_and_taken_back() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    let lead = sandbox.lead_to_follow_up(dev.token());
    let saga = |arguments: &[&'static str]| [&["saga", arguments[0], "--tenant", "demo"], &arguments[1..]].concat();
    let listed = eventually("it waits for its first timer", || {
        // Wait for the event that the step waits. Before, the saga is still due and appends more events.
        let rests = sandbox.ok(&["replay", "--tenant", "demo", "--service", "crm"]).contains("crm.saga.step_waiting");
        let listed = sandbox.json(&saga(&["list", "--saga", "follow_up_lead", "--state", "running"]));
        (rests && listed[0]["step"].is_string()).then(|| listed[0].clone())
    });
    assert_eq!(
        (&listed["key"], &listed["step"], &listed["service"]),
        (&json!(lead), &json!("escalate"), &json!("crm"))
    );
    let id = listed["id"].as_str().unwrap();
    let about = |command: &'static str| [&saga(&[command])[..], &[id]].concat();
    let shown = sandbox.json(&about("show"));
    assert_eq!((&shown["service"], &shown["id"], &shown["state"]), (&json!("crm"), &json!(id), &json!("running")));
    assert_eq!((&shown["parameters"]["lead"], &shown["code"]), (&json!(lead), &Value::Null), "{shown}");

    let events = || sandbox.ok(&["replay", "--tenant", "demo", "--service", "crm"]).lines().count();
    let before = events();
    let refused = sandbox.run(&about("resume"));
    assert!(refused.status.code() == Some(1) && refused.stderr.contains("saga_not_stuck"), "{refused:#?}");
    let unsaid = sandbox.run(&[&about("cancel")[..], &["--reason", " "]].concat());
    assert!(unsaid.status.code() == Some(1) && unsaid.stderr.contains("--reason is empty"), "{unsaid:#?}");
    assert_eq!(events(), before, "a refusal writes nothing");

    sandbox.ok(&[&about("cancel")[..], &["--reason", "we know them"]].concat());
    let shown = eventually("it is taken back", || {
        Some(sandbox.json(&about("show"))).filter(|shown| shown["state"] == "compensated")
    });
    assert_eq!((&shown["code"], &shown["reason"]), (&json!("cancelled"), &json!("we know them")), "{shown}");
    assert!(sandbox.ok(&["saga", "definitions"]).contains("escalate, reassign"));
}
