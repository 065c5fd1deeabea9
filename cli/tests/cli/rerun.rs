//! `inopsio job rerun`: repeats a tenant's jobs in a copy of the tenant.

use std::fs::{File, read_to_string};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::sandbox::{Dev, Sandbox, ended, eventually};

/// The command for all jobs of `demo`; the copy's name follows.
const RERUN: [&str; 9] =
    ["job", "rerun", "--tenant", "demo", "--from", "2020-01-01", "--until", "2100-01-01", "--into"];

/// Waits for the read models, because an export reads from them.
fn read_models_have_all(sandbox: &Sandbox) {
    eventually("the read models have all", || {
        let status = sandbox.json(&["projection", "status", "--service", "crm"]);
        status.as_array().unwrap().iter().all(|projection| projection["lag"] == 0).then_some(())
    });
}

#[test]
fn what_jobs_did_is_done_again_in_a_copy_and_what_ends_otherwise_is_named() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    for name in ["Ada Lovelace", "Grace Hopper"] {
        sandbox.post(dev.token(), "/v1/crm/leads", &json!({ "name": name }));
    }
    sandbox.send(dev.token(), "/v1/crm/imports", "text/csv", "name,email\nMary,mary@example.com\n");
    jobs_are_completed(&sandbox, "demo", 1);
    // The export reads the read model, so wait until that has all leads.
    read_models_have_all(&sandbox);
    sandbox.json(&["job", "create", "--tenant", "demo", "export_leads", r#"{"status": ["new"]}"#]);
    jobs_are_completed(&sandbox, "demo", 2);

    sandbox.ok(&["restore", "--tenant", "demo", "--into", "demo-copy"]);
    sandbox.ok(&["tenant", "create", "other"]);
    for (into, said) in [("demo", "another tenant"), ("other", "is not a copy")] {
        let refused = sandbox.run(&[&RERUN[..], &[into]].concat());
        assert!(refused.status.code() == Some(1) && refused.stderr.contains(said), "{refused:#?}");
    }
    let others = ["job", "rerun", "--tenant", "other", "--from", "2020-01-01", "--into", "demo-copy"];
    let refused = sandbox.run(&others);
    assert!(
        refused.status.code() == Some(1) && refused.stderr.contains("demo-copy is not a copy of other"),
        "{refused:#?}"
    );
    for untouched in ["other", "demo-copy"] {
        assert_eq!(sandbox.json(&["job", "list", "--tenant", untouched]), json!([]), "{untouched}");
    }
    jobs_are_completed(&sandbox, "demo", 2);

    let before = leads(&sandbox, "demo");
    let again = rerun_once_its_queue_goes_on(&sandbox);
    let [export] = &again["jobs"].as_array().unwrap()[..] else { panic!("another number of jobs: {again}") };
    assert_eq!((&export["kind"], &export["state"]), (&json!("export_leads"), &json!("completed")), "{again}");
    assert_eq!(export["difference"], Value::Null, "{again}");
    let [import] = &again["left_out"].as_array().unwrap()[..] else { panic!("others are left out: {again}") };
    assert_eq!(import["kind"], "import_leads", "{again}");
    // The original tenant is unchanged, and the copy has the same leads.
    assert_eq!(leads(&sandbox, "demo"), before);
    assert_eq!(leads(&sandbox, "demo-copy"), before);
    let said = |tenant: &str, job: &Value| {
        let shown = sandbox.json(&["job", "show", "--tenant", tenant, job.as_str().unwrap()]);
        shown["log"].as_array().unwrap().iter().map(|line| line["message"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(said("demo", &export["was"]), said("demo-copy", &export["again"]));

    let token = sandbox.json(&["token", "--tenant", "demo-copy", "--role", "admin"]);
    sandbox.post(token["token"].as_str().unwrap(), "/v1/crm/leads", &json!({ "name": "Somebody Else" }));
    read_models_have_all(&sandbox);
    let ended = sandbox.run(&[&["--format", "json"], &RERUN[..], &["demo-copy"]].concat());
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let again: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(again["jobs"][0]["difference"], r#"{"leads":4} instead of {"leads":3}"#, "{again}");
    jobs_are_completed(&sandbox, "demo", 2);
}

/// Repeats the jobs while the copy's queue is paused, waits for the hint that no worker takes them, and resumes the queue. Returns the
/// output.
fn rerun_once_its_queue_goes_on(sandbox: &Sandbox) -> Value {
    sandbox.ok(&["job", "queue", "pause", "--tenant", "demo-copy", "exports"]);
    let said = sandbox.folder.join("rerun.log");
    let mut rerun = sandbox.inopsio(&[&["--format", "json"], &RERUN[..], &["demo-copy"]].concat());
    let rerun = rerun.stdout(Stdio::piped()).stderr(File::create(&said).unwrap()).spawn().unwrap();
    eventually("it says that nobody works", || {
        read_to_string(&said).unwrap().contains("no worker takes the jobs of crm").then_some(())
    });
    sandbox.ok(&["job", "queue", "resume", "--tenant", "demo-copy", "exports"]);
    let ended = ended(rerun.wait_with_output().unwrap());
    let again: Value = serde_json::from_str(&ended.stdout).unwrap();
    let file = |tenant: &str, job: &str| {
        sandbox.run(&["job", "output", "--tenant", tenant, again["jobs"][0][job].as_str().unwrap()])
    };
    assert!(
        ended.status.success(),
        "{ended:#?} {} {:#?} {:#?}",
        read_to_string(&said).unwrap(),
        file("demo", "was"),
        file("demo-copy", "again")
    );
    again
}

/// The events of a tenant's leads without the fields that differ in a copy.
fn leads(sandbox: &Sandbox, tenant: &str) -> Vec<Value> {
    let replay = ["replay", "--tenant", tenant, "--service", "crm", "--aggregate", "crm.lead", "--open"];
    let mut events: Vec<Value> = sandbox.ok(&replay).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &mut events {
        for own in ["tenant_id", "position", "event_id", "recorded_at"] {
            assert!(event.as_object_mut().unwrap().remove(own).is_some(), "{own}: {event}");
        }
    }
    events
}

fn jobs_are_completed(sandbox: &Sandbox, tenant: &str, count: usize) {
    eventually("all jobs are completed", || {
        let jobs = sandbox.json(&["job", "list", "--tenant", tenant]);
        let jobs = jobs.as_array().unwrap();
        (jobs.len() == count && jobs.iter().all(|job| job["state"] == "completed")).then_some(())
    });
}
