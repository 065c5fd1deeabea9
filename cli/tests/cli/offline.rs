//! Commands that need no server.

use std::path::Path;

use crate::sandbox::{Sandbox, ended};

#[test]
fn every_command_has_help_with_examples() {
    let sandbox = Sandbox::new();
    let commands = commands_below(&sandbox, &[]);
    for known in
        [&["dev"][..], &["tenant", "create"], &["backup"], &["backup", "verify"], &["key", "list"], &["archive"]]
    {
        assert!(commands.iter().any(|command| command == known), "{known:?} is not in the help: {commands:?}");
    }
    let without: Vec<_> = commands
        .iter()
        .filter(|command| {
            let command: Vec<_> = command.iter().map(String::as_str).collect();
            !sandbox.ok(&[&command[..], &["--help"]].concat()).contains("Example")
        })
        .collect();
    assert!(without.is_empty(), "the help of these has no example: {without:?}");
    for group in [&["tenant"][..], &["audit"], &["job"], &["job", "schedule"], &["dlq"]] {
        let help = sandbox.ok(&[group, &["--help"]].concat());
        assert!(help.contains(&format!("Examples:\n  inopsio {}", group.join(" "))), "{group:?}: {help}");
    }
}

/// All runnable commands below a command, as its help lists them.
fn commands_below(sandbox: &Sandbox, command: &[&str]) -> Vec<Vec<String>> {
    let help = sandbox.ok(&[command, &["--help"]].concat());
    let below = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A command's line has two spaces and its name; continuation lines are indented further.
    let names = below.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|name| !name.is_empty());
    let mut found = Vec::new();
    for name in names.filter(|name| *name != "help") {
        found.extend(commands_below(sandbox, &[command, &[name]].concat()));
    }
    // A command that also runs without a subcommand has more than one usage line.
    let usages = help.lines().skip_while(|line| !line.starts_with("Usage:")).take_while(|line| !line.is_empty());
    if found.is_empty() || usages.count() > 1 {
        found.push(command.iter().map(|&word| word.to_owned()).collect());
    }
    found
}

#[test]
fn a_variable_that_nothing_reads_is_named_with_what_was_meant() {
    let sandbox = Sandbox::new();
    let warned = "INOPSIO_PROT is set, and nothing reads it; did you mean INOPSIO_PORT?";
    let run = |arguments: &[&str]| ended(sandbox.inopsio(arguments).env("INOPSIO_PROT", "canary").output().unwrap());
    let told = run(&["settings"]);
    assert!(told.status.success() && told.stderr.contains(warned), "{told:?}");
    assert!(!told.stderr.contains("canary"), "it may be a secret: {told:?}");
    assert_eq!(told.stdout, sandbox.ok(&["settings"]), "what programs read is as it was");
    // `dev` and `serve` log the warning. This one ends because its port is occupied.
    let _taken = std::net::TcpListener::bind(("127.0.0.1", sandbox.http)).unwrap();
    let logged = run(&["serve"]);
    let line = logged.stderr.lines().find(|line| line.contains("INOPSIO_PROT")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["level"], &line["variable"]), (&"WARN".into(), &"INOPSIO_PROT".into()), "{line}");
    assert!(line.to_string().contains(warned) && !logged.stderr.contains("canary"), "{logged:?}");
    // Variables of tests, files of secrets and settings of the command line are known.
    let known = ["INOPSIO_FAULT_SEED", "INOPSIO_MASTER_KEY_FILE", "INOPSIO_POSTGRES_BIN"];
    let quiet = ended(sandbox.inopsio(&["settings"]).envs(known.map(|name| (name, "7"))).output().unwrap());
    assert_eq!((quiet.status.success(), quiet.stderr.as_str()), (true, ""));
}

#[test]
fn programs_read_settings_as_json() {
    let settings = Sandbox::new().json(&["settings"]);
    let settings = settings.as_array().unwrap();
    let of = |variable: &str| settings.iter().find(|setting| setting["variable"] == variable).unwrap();
    assert_eq!((&of("INOPSIO_PORT")["key"], &of("INOPSIO_PORT")["default"]), (&"http.port".into(), &"8080".into()));
    assert_eq!(of("INOPSIO_MASTER_KEY")["secret"], true);
    assert!(of("INOPSIO_HOME")["meaning"].as_str().unwrap().contains("inopsio dev"));
}

#[test]
fn what_can_not_be_reached_is_said_with_what_to_do() {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&["replay", "--tenant", "demo"]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended.stderr.contains("Postgres at 127.0.0.1:5432") && ended.stderr.contains("inopsio dev"),
        "{}",
        ended.stderr
    );
    let ended = sandbox.run(&["tenant", "list"]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("Postgres gave no connection"), "{}", ended.stderr);
    let ended = sandbox.run(&["projection", "status"]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("Postgres at 127.0.0.1:5432"), "{}", ended.stderr);
    let ended = sandbox.run(&["restore", "--tenant", "demo", "--into", "then", "--as-of", "9000-01-01"]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("later than now"), "{}", ended.stderr);
    let ended = sandbox.run(&["token", "--tenant", "demo", "--role", "viewer", "--subject", " "]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("not all of them spaces"), "{}", ended.stderr);
}

#[test]
fn days_that_no_log_has_are_refused_with_what_is_allowed() {
    let sandbox = Sandbox::new();
    for days in ["36501", "4294967295", "-1"] {
        let ended = sandbox.run(&["archive", "--older-than-days", days, "--dry-run"]);
        assert_eq!(ended.status.code(), Some(2), "{days}: {}", ended.stderr);
        assert!(ended.stderr.contains("36500"), "{days}: {}", ended.stderr);
    }
}

#[test]
fn a_bad_setting_stops_the_start_with_key_value_and_what_is_allowed() {
    let sandbox = Sandbox::new();
    let ended = sandbox.inopsio(&["serve"]).env("INOPSIO_NATS_REPLICAS", "2").output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    for part in ["nats.replicas", "INOPSIO_NATS_REPLICAS", "2 is not allowed", "1, 3 or 5"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn a_stale_contract_is_named_with_the_command_that_renews_it() {
    let sandbox = Sandbox::new();
    let checked = || sandbox.run(&["schemas", "--check"]);
    assert_eq!(checked().status.code(), Some(1), "there are none yet");
    sandbox.ok(&["schemas"]);
    assert!(checked().status.success(), "{:#?}", checked());
    assert_eq!(sandbox.ok(&["schemas"]), "", "what is current is not written again");

    let schemas = sandbox.folder.join("schemas");
    std::fs::write(schemas.join("openapi.json"), "{}").unwrap();
    std::fs::write(schemas.join("events/forgotten.json"), "{}").unwrap();
    let stale = checked();
    assert_eq!(stale.status.code(), Some(1));
    for part in ["schemas/openapi.json", "schemas/events/forgotten.json", "make schemas"] {
        assert!(stale.stderr.contains(part), "{}", stale.stderr);
    }
    assert_eq!(std::fs::read_to_string(schemas.join("openapi.json")).unwrap(), "{}", "--check wrote");
}

#[test]
fn a_change_after_which_stored_events_could_not_be_read_is_not_written() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["schemas"]);
    let schemas = sandbox.folder.join("schemas");
    // Simulate that events were stored by a program whose schema had one more field.
    let captured = schemas.join("events/crm.lead.captured.v1.json");
    let current = std::fs::read_to_string(&captured).unwrap();
    let mut older: serde_json::Value = serde_json::from_str(&current).unwrap();
    older["properties"]["shoe"] = serde_json::json!({ "type": "string" });
    let older = older.to_string();
    std::fs::write(&captured, &older).unwrap();
    let gone = schemas.join("events/crm.lead.forgotten.v1.json");
    std::fs::write(&gone, "{}").unwrap();
    std::fs::write(schemas.join("openapi.json"), "{}").unwrap();

    for command in [&["schemas"][..], &["schemas", "--check"]] {
        let refused = sandbox.run(command);
        assert_eq!(refused.status.code(), Some(1));
        for part in ["captured.v1.json /shoe", "crm.lead.forgotten.v1.json", "next version", "`retired`"] {
            assert!(refused.stderr.contains(part), "{}", refused.stderr);
        }
    }
    assert_eq!(std::fs::read_to_string(&captured).unwrap(), older, "nothing is written");
    assert_eq!(std::fs::read_to_string(schemas.join("openapi.json")).unwrap(), "{}");
    assert!(gone.exists());

    // An event type without a schema file counts as never stored.
    std::fs::remove_file(&captured).unwrap();
    std::fs::remove_file(&gone).unwrap();
    sandbox.ok(&["schemas"]);
    assert_eq!(std::fs::read_to_string(&captured).unwrap(), current);
}

#[test]
fn what_is_generated_is_checked_in_as_it_is() {
    let sandbox = Sandbox::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let schemas = root.join("schemas");
    let checked = sandbox.run(&["schemas", "--check", "--folder", schemas.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", checked.stderr);

    let example = std::fs::read_to_string(root.join(".env.example")).unwrap();
    assert!(example == sandbox.ok(&["settings"]), ".env.example is not current: run `make schemas` and commit it");
}

#[test]
fn what_is_wrong_on_the_command_line_is_said_with_all_that_is_allowed() {
    let sandbox = Sandbox::new();
    let id = "0192f0c4-0000-8000-8000-000000000000";
    for (asked, said) in [
        (&["tenant", "move", "acme"][..], "<--to <CELL>|--undo|--purge>"),
        (&["tenant", "move", "acme", "--undo", "--purge"], "cannot be used with"),
        (&["token", "--tenant", "acme"], "--subject"),
        (&["token", "--tenant", "acme", "--subject", "ada"], "allowed is a UUID, or any name with at least one --role"),
        (&["saga", "show", "--tenant", "acme", "7"], "allowed is a UUID, such as 0192f0c4"),
        (&["job", "cancel", "--tenant", "acme", "x"], "allowed is a UUID, such as 0192f0c4"),
        (
            &["saga", "list", "--tenant", "acme", "--limit", "-1"],
            "invalid value '-1' for '--limit <LIMIT>': allowed is a whole number from 1 to 10000",
        ),
        (&["job", "list", "--tenant", "acme", "--limit", "ten"], "allowed is a whole number from 1 to 10000"),
        (&["replay", "--tenant", "acme", "--after", "x"], "allowed is a whole number from 0 to 9223372036854775807"),
        (
            &["webhook", "replay", "--tenant", "acme", id, "--after", "9223372036854775808"],
            "allowed is a whole number from 0 to 9223372036854775807",
        ),
        (&["archive", "--older-than-days", "-5"], "allowed is a whole number from 0 to 36500"),
        (&["tenant", "delete", "acme", "--reason", "r", "--grace-days", "9999"], "a whole number from 0 to 3650"),
        (&["job", "queue", "limit", "--all-tenants", "--rate", "x/y", "exports"], "allowed is <count>/<seconds>"),
        (
            &["saga", "list", "--tenant", "acme", "--saga", "followup"],
            "there are no sagas \"followup\"; allowed: announce_logout",
        ),
        (
            &["job", "list", "--tenant", "acme", "--kind", "export_lead"],
            "there are no \"export_lead\" jobs; allowed: export_leads",
        ),
        (
            &["job", "list", "--tenant", "acme", "--queue", "export"],
            "there is no queue \"export\"; allowed: default, exports, imports, rebuilds",
        ),
        (&["dlq", "list", "--tenant", "acme", "--consumer", "projection.lead"], "allowed: projection."),
        (&["dlq", "redrive", "--tenant", "acme", "--all", "--consumer", "saga.x", "--reason", "r"], "webhook.<id>"),
        // A name that several services have, or none, is not silently taken for one service's.
        (
            &["job", "queue", "pause", "--tenant", "acme", "imports"],
            "have a queue \"imports\"; say which with --service: crm",
        ),
        (
            &["job", "queue", "pause", "--tenant", "acme", "import"],
            "no service has a queue \"import\"; allowed: default, exports, imports",
        ),
        (
            &["job", "schedule", "create", "--tenant", "acme", "--cron", "0 6 * * *", "export"],
            "no service has export jobs that can be created by name; allowed: export_leads\n",
        ),
        (&["projection", "rebuild"], "--all"),
        (&["projection", "rebuild", "leads", "--all"], "cannot be used with"),
        // Only those are named that can be created so: others are created by operations of their own.
        (
            &["job", "create", "--tenant", "acme", "import_leads"],
            "no service has import_leads jobs that can be created by name; allowed: export_leads\n",
        ),
        (&["job", "create", "--tenant", "acme", "rebuild_read_model"], "with `inopsio projection rebuild`"),
        (&["job", "create", "--tenant", "acme", "export_leads", "{"], "is not JSON"),
        (
            &["job", "rerun", "--tenant", "acme", "--from", "2020-01-02", "--until", "2020-01-01", "--into", "copy"],
            "--until has to be later than --from",
        ),
        (&["job", "rerun", "--tenant", "acme", "--from", "9000-01-01", "--into", "copy"], "it is later than now"),
        (&["saga", "list", "--tenant", "acme", "--state", "asleep"], "there is no state \"asleep\"; allowed: running"),
        (&["events", "tail", "--tenant", "acme", "--after", "7"], "one service's log; say which with --service"),
        (&["webhook", "create", "--tenant", "acme", "https://hooks.example.com"], "--service"),
        (
            &[
                "webhook",
                "create",
                "--tenant",
                "acme",
                "https://hooks.example.com",
                "--service",
                "crm",
                "--after",
                "now",
            ],
            "allowed is a whole number from 0 to 9223372036854775807",
        ),
        (&["dev", "--postgres-port", "0"], "allowed is a number from 1 to 65535, also in INOPSIO_DEV_POSTGRES_PORT"),
        (&["dev", "--port", "65536"], "allowed is a number from 0 to 65535, also in INOPSIO_PORT"),
        // Options about seals are refused on commands that do not have them.
        (&["restore", "monday", "--without-seals", "--seal-key", "seals.pem"], "cannot be used with"),
        (&["restore", "--tenant", "acme", "--into", "copy", "--without-seals"], "cannot be used with"),
        (&["restore", "--tenant", "acme", "--into", "copy", "--seal-key", "seals.pem"], "cannot be used with"),
        // What belongs to one tenant's restore is not ignored in the restore of a whole backup.
        (&["restore", "monday", "--into", "copy", "--rehearsal"], "the argument '--into <NAME>' cannot be used with"),
        (
            &["restore", "monday", "--into", "copy", "--seal-key", "seals.pem"],
            "the argument '--into <NAME>' cannot be used with",
        ),
        (
            &["restore", "monday", "--into", "copy", "--without-seals"],
            "the argument '--into <NAME>' cannot be used with",
        ),
        (
            &["restore", "monday", "--into", "copy", "--without-key", "k"],
            "the argument '--into <NAME>' cannot be used with",
        ),
        (&["restore", "monday", "--into", "copy", "--as-of", "2026-01-01", "--rehearsal"], "cannot be used with"),
        // Nor is a user in the export of a service, which would be that of everybody.
        (
            &["audit", "export", "--tenant", "acme", "--service", "crm", "--user", id],
            "cannot be used with '--user <ID>'",
        ),
        (&["audit", "export", "--tenant", "acme", "--user", id], "--sign-ins"),
        (&["audit", "export", "--tenant", "acme", "--sign-ins", "--id", id], "cannot be used with '--id <ID>'"),
        (
            &["dlq", "redrive", "--tenant", "acme", "projection.leads.1", "--consumer", "projection.leads"],
            "cannot be used with",
        ),
        (&["backup", "drill", "monday", "--without-seals"], "unexpected argument '--without-seals'"),
        (&["backup", "verify", "monday", "--seal-key", "seals.pem"], "unexpected argument '--seal-key'"),
        (&["backup", "--seal-key", "seals.pem"], "unexpected argument '--seal-key'"),
        (&["backup", "--without-seals", "verify", "monday"], "cannot be used with"),
        (&["backup", "--output", "tuesday", "drill", "monday"], "cannot be used with"),
        (&["backup", "--output", "nowhere/monday"], "there is no folder nowhere: make it first"),
        (&["webhook", "change", "--tenant", "acme", id], "<--url <URL>|--event <TYPE>|--all-events|--description"),
    ] {
        let ended = sandbox.run(asked);
        assert!(!ended.status.success() && ended.stderr.contains(said), "{asked:?}: {ended:#?}");
    }
    // Known names pass this check and fail later, because no server is running.
    for known in [
        &["dlq", "list", "--tenant", "acme", "--consumer", &format!("webhook.{id}")][..],
        &["saga", "list", "--tenant", "acme", "--saga", "announce_logout"],
        &["job", "list", "--tenant", "acme", "--kind", "rebuild_read_model"],
    ] {
        let ended = sandbox.run(known);
        assert!(!ended.status.success() && !ended.stderr.contains("allowed"), "{known:?}: {ended:#?}");
    }
}

#[test]
fn a_command_whose_messages_nobody_reads_fails_like_another() {
    let sandbox = Sandbox::new();
    let (reader, unread) = std::io::pipe().unwrap();
    drop(reader);
    let mut asked = sandbox.inopsio(&["job", "create", "--tenant", "acme", "export"]);
    let status = asked.stdout(unread.try_clone().unwrap()).stderr(unread).status().unwrap();
    assert_eq!(status.code(), Some(1), "not 101, as of a panic");
}

#[test]
fn a_word_that_was_used_before_is_still_understood_and_not_shown() {
    let sandbox = Sandbox::new();
    for (command, now, before) in [
        (&["tenant"][..], "undelete", "restore"),
        (&["saga", "list"], "--state", "--status"),
        (&["job", "list"], "--after", "--before"),
        (&["job", "output"], "--output", "--out <"),
        (&["webhook", "create"], "--event", "--type"),
        (&["backup"], "--output", "--to"),
    ] {
        let help = sandbox.ok(&[command, &["--help"]].concat());
        assert!(help.contains(now) && !help.contains(before), "{command:?}: {help}");
        let before = before.trim_end_matches(" <");
        let asked = if before.starts_with("--") {
            [command, &[before, "x", "--nonsense"]].concat()
        } else {
            [command, &[before, "acme", "--nonsense"]].concat()
        };
        let ended = sandbox.run(&asked);
        let unknown = [format!("unexpected argument '{before}'"), format!("unrecognized subcommand '{before}'")];
        assert!(
            !ended.status.success() && !unknown.iter().any(|said| ended.stderr.contains(said)),
            "{before}: {ended:#?}"
        );
    }
}
