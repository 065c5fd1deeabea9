//! Commands with which operators and auditors inspect a tenant's history.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::sandbox::{Dev, Sandbox, eventually};

fn lines(ndjson: &str) -> Vec<Value> {
    ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Creates three leads and assigns the second: four events. Returns their ids.
fn fill(sandbox: &Sandbox, token: &str) -> Vec<String> {
    let leads: Vec<String> = ["Ada Lovelace", "Grace Hopper", "Katherine Johnson"]
        .iter()
        .map(|name| sandbox.post(token, "/v1/crm/leads", &json!({ "name": name }))["id"].as_str().unwrap().to_owned())
        .collect();
    sandbox.post(token, &format!("/v1/crm/leads/{}/assign", leads[1]), &json!({ "owner": "ada" }));
    leads
}

#[test]
fn a_replay_is_complete_in_order_and_says_so() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    let leads = fill(&sandbox, dev.token());
    // Add events of another tenant, which the replay must not show.
    sandbox.ok(&["tenant", "create", "acme"]);
    let acme = sandbox.ok(&["token", "--tenant", "acme", "--role", "admin"]);
    sandbox.post(acme.trim(), "/v1/crm/leads", &json!({ "name": "Mary Jackson" }));

    let all = sandbox.run(&["replay", "--tenant", "demo", "--service", "crm"]);
    assert!(all.status.success(), "{all:#?}");
    assert_eq!(all.stderr, "4 of 4\n");
    let events = lines(&all.stdout);
    let positions: Vec<_> = events.iter().map(|event| event["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
    let ids: Vec<_> = events.iter().map(|event| event["aggregate_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&leads[0], &leads[1], &leads[2], &leads[1]]);
    assert!(events[0]["payload"]["details"]["name"]["sealed"].is_string(), "as it is stored: {}", events[0]);
    let opened = sandbox.ok(&["replay", "--tenant", "demo", "--service", "crm", "--open"]);
    assert_eq!(lines(&opened)[0]["payload"]["details"]["name"], "Ada Lovelace");
    let machines =
        sandbox.ok(&["replay", "--tenant", "demo", "--service", "auth", "--event", "auth.machine.registered"]);
    assert_eq!(events[0]["metadata"]["actor"], lines(&machines)[0]["aggregate_id"], "the command line's machine");

    let counted = |arguments: &[&str]| {
        let ended = sandbox.run(&[&["replay", "--tenant", "demo", "--service", "crm"], arguments].concat());
        assert!(ended.status.success(), "{ended:#?}");
        let count = lines(&ended.stdout).len();
        assert_eq!(ended.stderr, format!("{count} of {count}\n"));
        count
    };
    let second = events[1]["recorded_at"].as_str().unwrap();
    let event_type = events[3]["event_type"].as_str().unwrap();
    assert_eq!(counted(&["--id", &leads[1]]), 2);
    assert_eq!(counted(&["--id", &leads[1].to_uppercase()]), 2, "as the API finds it, too");
    assert_eq!(counted(&["--aggregate", "crm.lead"]), 4);
    assert_eq!(counted(&["--aggregate", "crm.contact"]), 0);
    assert_eq!(counted(&["--event", event_type]), 1);
    assert_eq!(counted(&["--after", "1", "--to", "3"]), 2);
    assert_eq!(counted(&["--recorded-from", second]), 3);
    assert_eq!(counted(&["--recorded-until", second]), 1);
    assert_eq!(counted(&["--occurred-from", "2200-01-01"]), 0);

    let file = sandbox.folder.join("history.ndjson");
    assert_eq!(sandbox.ok(&["replay", "--tenant", "demo", "--service", "crm", "--output", file.to_str().unwrap()]), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), all.stdout);
    // A command that is refused leaves an existing file as it is.
    for bad in [
        &["--service", "crm", "--to", "99999999"][..],
        &["--event", "crm.lead.qualifed"],
        &["--id", "0197a8a0-0000-7000-8000-00000000dead"],
    ] {
        let mut arguments = vec!["replay", "--tenant", "demo", "--output", file.to_str().unwrap()];
        arguments.extend(bad.iter().copied());
        let ended = sandbox.run(&arguments);
        assert_eq!(ended.status.code(), Some(1), "{bad:?}: {ended:#?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), all.stdout, "{bad:?}");
    }
    assert!(!sandbox.folder.join("history.ndjson.part").exists());

    // Output that fails, such as to a full disk, makes the exit code 1.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let short = sandbox.inopsio(&["replay", "--tenant", "demo"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(short.status.code(), Some(1));
    let said = String::from_utf8_lossy(&short.stderr);
    assert!(said.contains("can't write to standard output") && !said.contains(" of "), "{short:?}");
    // A reader who has seen enough, as `head`, needs no message.
    let (reader, unread) = std::io::pipe().unwrap();
    drop(reader);
    let unread =
        sandbox.inopsio(&["replay", "--tenant", "demo"]).stdout(unread).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((unread.status.code(), String::from_utf8_lossy(&unread.stderr).as_ref()), (Some(1), ""));

    a_slip_is_refused_with_what_is_allowed(&sandbox);
}

fn a_slip_is_refused_with_what_is_allowed(sandbox: &Sandbox) {
    let unknown = sandbox.run(&["replay", "--tenant", "nobody"]);
    assert_eq!((unknown.status.code(), unknown.stdout.as_str()), (Some(1), ""));
    assert!(unknown.stderr.starts_with("inopsio: there is no tenant nobody"), "{}", unknown.stderr);
    for (option, slip, allowed) in
        [("--event", "crm.lead.qualifed", "crm.lead.qualified"), ("--aggregate", "crm.leads", "crm.lead,")]
    {
        let refused = sandbox.run(&["replay", "--tenant", "demo", option, slip]);
        assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(1), ""));
        assert!(refused.stderr.contains(slip) && refused.stderr.contains(allowed), "{}", refused.stderr);
    }
    // Empty ranges are refused, because "0 of 0" would look like a history without events.
    let crm = ["--service", "crm"];
    for (slip, why) in [
        (&["--id", "nope"][..], "has no aggregate with the id nope"),
        (&["--occurred-from", "2026-02-01", "--occurred-until", "2026-01-01"], "--occurred-until is not after"),
        (
            &["--aggregate", "crm.account", "--event", "crm.lead.captured"],
            "an event of crm.lead, which no crm.account has",
        ),
        (&["--after", "3", "--to", "2"], "--to is not beyond --after"),
        (&["--after", "999999"], "the log of crm ends at"),
        (&["--to", "999999"], "the log of crm ends at"),
    ] {
        let refused = sandbox.run(&[&["replay", "--tenant", "demo"], &crm[..], slip].concat());
        assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(1), ""), "{slip:?}");
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    let of_which = sandbox.run(&["replay", "--tenant", "demo", "--to", "2"]);
    assert!(of_which.status.code() == Some(1) && of_which.stderr.contains("--service: "), "{of_which:?}");
}

#[test]
fn an_aggregate_is_shown_as_it_is_and_as_it_was() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    let leads = fill(&sandbox, dev.token());
    let show =
        |arguments: &[&str]| sandbox.json(&[&["show", "--tenant", "demo", "crm.lead", &leads[1]], arguments].concat());

    let now = show(&[]);
    assert_eq!((now["version"].as_u64(), now["position"].as_u64()), (Some(2), Some(4)), "{now}");
    assert_eq!(sandbox.json(&["show", "--tenant", "demo", "crm.lead", &leads[1].to_uppercase()]), now);
    let before = show(&["--position", "3"]);
    assert_eq!((before["version"].as_u64(), before["position"].as_u64()), (Some(1), Some(2)), "{before}");
    assert_ne!(before["state"], now["state"]);
    let then = before["recorded_at"].as_str().unwrap();
    assert_eq!(show(&["--at", then]), before);
    assert_eq!(show(&["--known-at", then]), before);
    let text = sandbox.ok(&["show", "--tenant", "demo", "crm.lead", &leads[1]]);
    assert!(text.contains("│ details.name") && text.contains("┆ Grace Hopper"), "{text}");

    for (arguments, said) in [
        (["crm.lead", "0197a8a0-0000-7000-8000-000000000001", ""], "has no crm.lead"),
        (["crm.lead", &leads[1], "--at=2001-01-01"], "did not exist yet: its first event occurred at 20"),
        (["crm.lead", &leads[1], "--known-at=2001-01-01"], "and was recorded at 20"),
        (["crm.lead", &leads[1], "--position=1"], "as position 2"),
        (["crm.lead", &leads[1], "--position=999999"], "the log of crm ends at"),
        (["crm.unicorn", &leads[1], ""], "allowed: crm.lead"),
        (["nonsense", &leads[1], ""], "no service"),
    ] {
        let arguments: Vec<_> =
            ["show", "--tenant", "demo"].into_iter().chain(arguments).filter(|a| !a.is_empty()).collect();
        let ended = sandbox.run(&arguments);
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }

    // A lead of another tenant is as unknown as one that does not exist.
    sandbox.ok(&["tenant", "create", "acme"]);
    let other = sandbox.run(&["show", "--tenant", "acme", "crm.lead", &leads[1]]);
    assert!(other.stderr.contains("has no crm.lead"), "{other:#?}");
}

#[test]
fn tenants_tokens_projections_and_the_bus_are_at_hand() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    fill(&sandbox, dev.token());

    let tenants = sandbox.json(&["tenant", "list"]);
    assert_eq!(tenants[0]["slug"], "demo", "{tenants}");
    let again = sandbox.run(&["tenant", "create", "demo"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    assert_eq!(sandbox.run(&["tenant", "create", "Not A Slug"]).status.code(), Some(1));
    assert_eq!(sandbox.json(&["tenant", "list"]), tenants);

    let limit = sandbox.run(&["job", "queue", "limit", "--tenant", "demo", "--rate", "0/0", "exports"]);
    assert_eq!(limit.status.code(), Some(1));
    assert!(
        limit.stderr.lines().count() > 2 && limit.stderr.contains("\n  --rate: "),
        "each field is named: {}",
        limit.stderr
    );

    let unknown_role = sandbox.run(&["token", "--tenant", "demo", "--role", "king"]);
    assert_eq!(unknown_role.status.code(), Some(2));
    assert!(unknown_role.stderr.contains("auditor"), "{}", unknown_role.stderr);
    // Its token would be refused everywhere, as if a user lacked permissions.
    let nobody = sandbox.run(&["token", "--tenant", "demo", "--subject", "0197a8a0-0000-7000-8000-000000000001"]);
    assert_eq!((nobody.status.code(), nobody.stdout.as_str()), (Some(1), ""));
    assert!(nobody.stderr.contains("the tenant demo has no user with the id 0197a8a0"), "{}", nobody.stderr);
    let token = sandbox.json(&["token", "--tenant", "demo", "--role", "viewer", "--ttl", "15m"]);
    assert_eq!(token["expires_in"], 900, "{token}");

    read_models_are_looked_at_rebuilt_and_compared(&sandbox);

    let on_the_bus =
        sandbox.ok(&["events", "tail", "--tenant", "demo", "--service", "crm", "--after", "0", "--limit", "4"]);
    assert_eq!(on_the_bus, sandbox.ok(&["replay", "--tenant", "demo", "--service", "crm"]));
    for (bad, said) in [
        (["--event", "crm.lead.qualifed"], "there is no event type \"crm.lead.qualifed\"; allowed of crm.lead: "),
        (["--after", "99999999"], "the log of crm ends at "),
    ] {
        let tail = ["events", "tail", "--tenant", "demo", "--service", "crm"];
        let ended = sandbox.run(&[&tail[..], &bad[..]].concat());
        assert_eq!(ended.status.code(), Some(1), "{bad:?}: {ended:#?}");
        assert!(ended.stderr.contains(said), "{bad:?}: {ended:#?}");
    }
    // Sagas and sealers poll once a second.
    let lag = eventually("all have followed", || {
        let lag = sandbox.json(&["events", "lag"]);
        lag.as_array().unwrap().iter().all(|consumer| consumer["lag_events"] == 0).then_some(lag)
    });
    let consumers = lag.as_array().unwrap();
    for kind in ["relay", "projection", "sagas", "sealer", "webhooks", "feeds"] {
        assert!(consumers.iter().any(|consumer| consumer["kind"] == kind), "no {kind} in {lag}");
    }

    // The servers are running and migrated, so there is nothing to do.
    let migrated = sandbox.json(&["migrate", "--dry-run"]);
    let nothing = |database: &Value| database["applied"].as_array().is_some_and(Vec::is_empty);
    assert!(migrated.as_array().unwrap().iter().all(nothing), "{migrated}");
}

fn read_models_are_looked_at_rebuilt_and_compared(sandbox: &Sandbox) {
    let caught_up = |status: &Value| {
        let projections = status.as_array().unwrap();
        projections.iter().any(|p| p["service"] == "crm" && p["position"] == 4)
            && projections.iter().all(|p| p["state"] == "live" && p["lag"] == 0)
    };
    let status =
        eventually("the projections catch up", || Some(sandbox.json(&["projection", "status"])).filter(caught_up));
    let name = status[0]["projection"].as_str().unwrap();
    let rebuilt = sandbox.json(&["projection", "rebuild", name]);
    assert_eq!(
        (rebuilt[0]["position"].as_u64(), rebuilt[0]["parked_events"].as_u64()),
        (Some(4), Some(0)),
        "{rebuilt}"
    );
    let unknown = sandbox.run(&["projection", "rebuild", "nonsense"]);
    assert!(unknown.stderr.contains(name), "{}", unknown.stderr);
    assert_eq!(sandbox.json(&["projection", "status"]), status);

    // All rows match the log until one is altered. Then the difference is reported, and a rebuild repairs it.
    sandbox.ok(&["projection", "drift"]);
    sandbox.sql("UPDATE crm.lead SET status = 'converted', company = 'Hidden Inc.' WHERE status = 'new'");
    let drifted = sandbox.run(&["--format", "json", "projection", "drift", "leads"]);
    assert_eq!(drifted.status.code(), Some(1), "{drifted:?}");
    assert!(drifted.stderr.contains("rows are not what the log says"), "{}", drifted.stderr);
    assert!(!drifted.stdout.contains("Hidden Inc."), "{}", drifted.stdout);
    let drifted: Value = serde_json::from_str(&drifted.stdout).unwrap();
    let row = &drifted[0]["differences"][0];
    assert_eq!((row["table"].as_str(), row["kind"].as_str()), (Some("lead"), Some("changed")), "{drifted}");
    assert_eq!(row["columns"], json!([{ "name": "company" }, { "name": "status" }]), "{drifted}");
    assert!(row["key"]["tenant_id"].is_string() && row["key"]["lead_id"].is_string(), "{drifted}");
    sandbox.ok(&["projection", "rebuild", "leads"]);
    sandbox.ok(&["projection", "drift", "leads"]);
}

#[test]
fn every_stored_event_is_checked_and_the_first_offenders_are_named() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    fill(&sandbox, dev.token());
    let good = sandbox.json(&["schema", "check"]);
    assert_eq!((&good[0]["events"], &good[0]["bad"], &good[0]["head"]), (&json!(4), &json!(0), &json!(4)), "{good}");
    let captured =
        good[0]["types"].as_array().unwrap().iter().find(|form| form["type"] == "crm.lead.captured").unwrap();
    assert_eq!((&captured["version"], &captured["events"]), (&json!(1), &json!(3)));
    assert!(sandbox.ok(&["schema", "check"]).contains("4 events up to 4, 0 bad"));

    // Insert events as another program version might have: an unknown version, and a payload that lacks a field.
    sandbox.sql(
        "INSERT INTO log.events SELECT tenant_id, aggregate_type, aggregate_id, sequence + n, event_type,
             CASE n WHEN 1 THEN '9' ELSE '1' END, json_build_object('event', event_type), metadata, gen_random_uuid(),
             position + n, occurred_at, recorded_at, leaf_hash
         FROM log.events, generate_series(1, 2) n WHERE position = 4;
         UPDATE log.head SET position = 6",
    );
    let bad = sandbox.run(&["schema", "check"]);
    assert_eq!(bad.status.code(), Some(1), "{bad:#?}");
    assert!(bad.stderr.contains("2 stored events can't be read"), "{}", bad.stderr);
    assert!(bad.stdout.contains("crm.lead.assigned version 9 at 5"), "{}", bad.stdout);
    assert!(bad.stdout.contains("crm.lead.assigned version 1 at 6") && bad.stdout.contains("owner"), "{}", bad.stdout);
    let after =
        |position: &str, of: &[&str]| sandbox.run(&[&["schema", "check", "--after", position][..], of].concat());
    assert!(after("6", &["--service", "crm"]).stdout.contains("0 events up to 6"));
    // A position of another log, or of none, would let everything pass.
    for (of, said) in [(&["--service", "crm"][..], "the log of crm ends at 6"), (&[], "say which with --service: crm")]
    {
        let refused = after("7", of);
        assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
    let unknown = sandbox.run(&["schema", "check", "--service", "nonsense"]);
    assert!(unknown.stderr.contains("allowed: crm"), "{}", unknown.stderr);
}

/// The arguments of a `webhook` command for the tenant `demo`.
fn webhook<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["webhook", arguments[0], "--tenant", "demo"], &arguments[1..]].concat()
}

#[test]
fn what_nobody_can_open_any_more_is_as_its_schema_says() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    let contact = json!({ "name": "Ada Lovelace", "email": "ada@lovelace.example", "phone": "+44 20 7946 0000" });
    let contact = sandbox.post(dev.token(), "/v1/crm/contacts", &contact);
    let erase = format!("/v1/crm/contacts/{}/erase", contact["id"].as_str().unwrap());
    sandbox.post(dev.token(), &erase, &json!({ "reason": "requested" }));
    let opened = sandbox.ok(&["replay", "--tenant", "demo", "--service", "crm", "--open"]);
    assert!(opened.contains("sealed") && !opened.contains("Lovelace"), "{opened}");
    let checked = sandbox.json(&["schema", "check"]);
    assert!(checked.as_array().unwrap().iter().all(|service| service["bad"] == 0), "{checked}");
}

#[test]
fn jobs_are_found_in_whichever_service_they_are() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    let asked =
        |path: &str| sandbox.send(dev.token(), path, "text/csv", "name,email\nAda,ada@example.com\n")["id"].clone();
    let jobs = [asked("/v1/crm/imports"), asked("/v1/user/imports")];
    for (id, service) in jobs.iter().zip(["crm", "user"]) {
        let id = id.as_str().unwrap();
        let shown = eventually("it is completed", || {
            let shown = sandbox.json(&["job", "show", "--tenant", "demo", id]);
            (shown["job"]["state"] == "completed").then_some(shown)
        });
        assert_eq!(shown["service"], service, "{shown}");
        assert!(sandbox.ok(&["job", "log", "--tenant", "demo", id]).contains("completed"));
        let over = sandbox.run(&["job", "cancel", "--tenant", "demo", id]);
        assert!(over.stderr.contains("completed"), "{over:#?}");
    }
    let elsewhere = sandbox.run(&["job", "show", "--tenant", "demo", "--service", "crm", jobs[1].as_str().unwrap()]);
    assert!(elsewhere.stderr.contains("there is no job"), "{elsewhere:#?}");
    let listed = sandbox.json(&["job", "list", "--tenant", "demo"]);
    let services: Vec<_> = listed.as_array().unwrap().iter().map(|job| job["service"].as_str().unwrap()).collect();
    assert_eq!(services, ["user", "crm"], "{listed}");
    let made = ["job", "schedule", "create", "--tenant", "demo", "--cron", "0 6 1 1 *", "export_leads"];
    let schedule = sandbox.json(&made);
    let schedules = sandbox.json(&["job", "schedule", "list", "--tenant", "demo"]);
    assert_eq!((&schedules[0]["id"], &schedules[0]["service"]), (&schedule["id"], &json!("crm")), "{schedules}");
    let queues = sandbox.json(&["job", "queue", "list", "--tenant", "demo"]);
    let imports: Vec<_> = queues.as_array().unwrap().iter().filter(|queue| queue["name"] == "imports").collect();
    assert!(imports.len() >= 2, "{queues}");
    let types = sandbox.ok(&["events", "tail", "--tenant", "demo", "--after", "0", "--limit", "3"]);
    assert_eq!(lines(&types).len(), 3, "{types}");
}

#[test]
fn webhooks_are_set_up_looked_at_and_taken_away() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    // No receiver listens on that port, so deliveries fail and are retried.
    let created =
        sandbox.json(&webhook(&["create", "http://127.0.0.1:9/hooks", "--event", "crm.lead.*", "--after", "0"]));
    let id = created["id"].as_str().unwrap();
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"), "{created}");
    fill(&sandbox, dev.token());
    let failing = eventually("it fails", || {
        let list = sandbox.json(&webhook(&["list"]));
        (list[0]["state"] == "failing").then(|| list[0].clone())
    });
    assert_eq!((&failing["id"], &failing["delivered"]), (&json!(id), &json!(0)), "{failing}");
    let deliveries = sandbox.json(&webhook(&["deliveries", id, "--limit", "1"]));
    assert_eq!((&deliveries[0]["position"], &deliveries[0]["status"]), (&json!(1), &Value::Null), "{deliveries}");
    let ping = sandbox.run(&webhook(&["ping", id]));
    assert_eq!(ping.status.code(), Some(1));
    assert!(ping.stderr.contains("did not take the message"), "{ping:#?}");
    assert_eq!(sandbox.json(&webhook(&["disable", id, "--reason", "nobody there"]))["version"], 2);
    assert!(sandbox.ok(&webhook(&["list"])).contains("disabled: nobody there"));
    let shown = sandbox.json(&webhook(&["show", id]));
    assert_eq!((&shown["state"], &shown["disabled_reason"]), (&json!("disabled"), &json!("nobody there")), "{shown}");
    assert_eq!(sandbox.json(&webhook(&["change", id, "--description", "for tests"]))["version"], 3);
    let shown = sandbox.json(&webhook(&["show", id]));
    assert_eq!(
        (&shown["url"], &shown["types"]),
        (&failing["url"], &failing["types"]),
        "what is not given stays: {shown}"
    );
    assert_eq!(shown["description"], "for tests", "{shown}");
    sandbox.ok(&webhook(&["change", id, "--all-events"]));
    let shown = sandbox.json(&webhook(&["show", id]));
    assert_eq!(shown["types"], json!([]));
    let events = || sandbox.ok(&["replay", "--tenant", "demo", "--service", "crm"]).lines().count();
    let before = events();
    for (wrong, said) in [
        (["change", id, "--url", "ftp://127.0.0.1/"], "only https"),
        (["change", id, "--event", "crm.leads.*"], "/v1/events/types"),
    ] {
        let refused = sandbox.run(&webhook(&wrong));
        assert!(refused.status.code() == Some(1) && refused.stderr.contains(said), "{refused:#?}");
    }
    let after = sandbox.json(&webhook(&["show", id]));
    assert_eq!((&after["version"], events()), (&shown["version"], before), "a refusal changes and writes nothing");
    let nobodys = sandbox.run(&webhook(&["show", "0197a8a0-0000-7000-8000-000000000001"]));
    assert!(nobodys.stderr.contains("there is no webhook"), "{nobodys:#?}");
    for command in [&["enable", id][..], &["replay", id, "--after", "2"], &["rotate-secret", id], &["remove", id]] {
        sandbox.ok(&webhook(command));
    }
    assert_eq!(sandbox.json(&webhook(&["list"])), json!([]));
    let done = sandbox.json(&webhook(&["changes", id]));
    let done: Vec<_> = done.as_array().unwrap().iter().map(|one| one["change"].as_str().unwrap()).collect();
    let wanted = ["removed", "secret_rotated", "replayed", "enabled", "changed", "changed", "disabled", "created"];
    assert_eq!(done, wanted, "it is kept who did what with one that has gone");
    let nobodys = sandbox.run(&webhook(&["changes", "0197a8a0-0000-7000-8000-000000000001"]));
    assert!(nobodys.stderr.contains("there is no webhook"), "{nobodys:#?}");
    let unknown = sandbox.run(&webhook(&["enable", id]));
    assert!(unknown.stderr.contains("there is no webhook"), "{}", unknown.stderr);
    let refused = sandbox.run(&webhook(&["create", "ftp://127.0.0.1/", "--service", "crm"]));
    assert!(refused.stderr.contains("only https"), "{}", refused.stderr);
}
