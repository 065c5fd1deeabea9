//! `inopsio dev`: start, welcome text, refusal of a second instance, recovery from kill -9, and a clean stop.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use serde_json::{Value, json};

use crate::sandbox::{Dev, Sandbox, eventually, kill, shell};

#[test]
fn what_it_says_works_as_printed_and_ctrl_c_stops_all_it_started() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    let welcome = dev.welcome.join("\n");
    for path in ["/v1", "/docs", "/openapi.json", "/graphql", "/ready", "/health", "/metrics"] {
        assert!(welcome.contains(&sandbox.url(path)), "{path} is missing in:\n{welcome}");
    }

    // Run the three printed commands in a shell that has the printed token.
    let token = dev.welcome.iter().find(|line| line.starts_with("export TOKEN=")).unwrap();
    let curls: Vec<_> = dev.welcome.iter().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(curls.len(), 3, "{welcome}");
    let answers: Vec<Value> = curls
        .iter()
        .map(|curl| {
            let ended = shell(&format!("{token}\n{curl} --fail-with-body"));
            assert!(ended.status.success(), "{curl}\n{ended:#?}");
            serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{curl}\n{error}\n{}", ended.stdout))
        })
        .collect();
    let lead = answers[0]["id"].as_str().unwrap();
    assert_eq!(answers[1].get("errors"), None, "{}", answers[1]);
    assert_eq!(answers[1]["data"]["crm"]["leads"]["edges"][0]["node"]["id"], lead, "{}", answers[1]);

    let (postgres, nats) = sandbox.server_pids();
    assert!(dev.signal("INT").success());
    assert_eq!(sandbox.servers_listen(), (false, false));
    for pid in [postgres, nats] {
        assert!(!runs(pid), "process {pid} still runs");
    }
}

#[test]
fn secrets_are_made_once_and_for_the_owner_only() {
    let sandbox = Sandbox::new();
    let secrets = || -> Vec<(String, String, u32)> {
        let mut found: Vec<_> = std::fs::read_dir(sandbox.home().join("secrets"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .chain([sandbox.home().join("inopsio.toml"), sandbox.home().join("nats/nats-server.conf")])
            .map(|path| {
                let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                (path.display().to_string(), std::fs::read_to_string(path).unwrap(), mode)
            })
            .collect();
        found.sort();
        found
    };

    assert!(Dev::start(&sandbox).signal("TERM").success());
    let first = secrets();
    assert!(first.len() >= 7, "{first:?}");
    for (path, content, mode) in &first {
        assert_eq!(*mode, 0o600, "{path}");
        assert!(!content.is_empty(), "{path}");
    }
    assert_eq!(sandbox.home().join("secrets").metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(Dev::start(&sandbox).signal("TERM").success());
    assert_eq!(secrets(), first);
}

#[test]
fn a_second_one_names_the_first_and_a_taken_port_names_its_setting() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);

    let second = sandbox.run(&["dev"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stderr.contains("already running"), "{}", second.stderr);
    assert!(second.stderr.contains(&format!("process {}", dev.pid())), "{}", second.stderr);
    assert!(second.stderr.contains(&sandbox.url("")), "{}", second.stderr);

    // A different home, so only the ports conflict. Each of the three is named, with the setting that changes it.
    let mut other = Sandbox::new();
    let free = other.http;
    other.http = sandbox.http;
    let taken = other.run(&["dev"]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(taken.stderr.contains(&sandbox.http.to_string()), "{}", taken.stderr);
    assert!(taken.stderr.contains("INOPSIO_PORT="), "{}", taken.stderr);
    assert!(!other.home().join("postgres/data").exists(), "a refused start made a database");

    for (flag, setting) in [("--postgres-port", "INOPSIO_DEV_POSTGRES_PORT"), ("--nats-port", "INOPSIO_DEV_NATS_PORT")]
    {
        let ended = other.run(&["dev", "--port", &free.to_string(), flag, &sandbox.http.to_string()]);
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains(&format!("{setting}=")), "{}", ended.stderr);
    }

    // The first instance still works.
    sandbox.json(&["tenant", "list"]);
}

#[test]
fn read_models_of_another_version_of_the_program_are_built_anew_at_the_start() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    sandbox.post(dev.token(), "/v1/crm/leads", &json!({ "name": "Ada Lovelace", "company": "Analytical Engines" }));
    sandbox.sql("UPDATE projector.checkpoints SET version = 0 WHERE projection IN ('leads', 'accounts')");
    assert!(dev.signal("TERM").success());
    let _dev = Dev::start(&sandbox);
    let status = sandbox.json(&["projection", "status"]);
    let behind: Vec<_> = status.as_array().unwrap().iter().filter(|one| one["state"] == "needs_rebuild").collect();
    assert!(behind.is_empty(), "{behind:?}");
    let leads = status.as_array().unwrap().iter().find(|one| one["projection"] == "leads").unwrap();
    assert_eq!(leads["position"], 1, "with all that happened before: {leads}");
}

#[test]
fn after_kill_9_of_anything_the_next_start_recovers() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    let body = json!({ "name": "Ada Lovelace", "company": "Analytical Engines" });
    let lead = sandbox.post(dev.token(), "/v1/crm/leads", &body)["id"].as_str().unwrap().to_owned();
    let is_there = |when: &str| {
        let shown = sandbox.json(&["show", "--tenant", "demo", "crm.lead", &lead]);
        assert_eq!(shown["version"], 1, "after {when}: {shown}");
    };

    // Kill `inopsio`: the servers stay behind, and the next start stops them.
    let (postgres, nats) = sandbox.server_pids();
    assert_eq!(dev.signal("KILL").signal(), Some(9));
    assert!(runs(postgres) && runs(nats), "kill -9 leaves the servers behind: else this tests nothing");
    let mut dev = Dev::start(&sandbox);
    assert!(!runs(postgres) && !runs(nats), "the servers that were left behind still run");
    is_there("kill -9 of inopsio");

    // Kill each server: everything stops with a message, and the next start recovers.
    for (server, name) in [(0, "Postgres"), (1, "nats-server")] {
        let (postgres, nats) = sandbox.server_pids();
        kill("KILL", [postgres, nats][server]);
        assert_eq!(dev.end().code(), Some(1));
        assert!(dev.log().contains(&format!("the private {name} ended (killed with signal 9)")), "{}", dev.log());
        assert_eq!(sandbox.servers_listen(), (false, false));
        dev = Dev::start(&sandbox);
        is_there(name);
    }

    // Kill all three at once.
    let (postgres, nats) = sandbox.server_pids();
    kill("KILL", postgres);
    kill("KILL", nats);
    let _ = dev.signal("KILL");
    let _dev = Dev::start(&sandbox);
    is_there("kill -9 of all");
}

/// Whether a process is running and not a zombie.
fn runs(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[test]
fn a_signal_while_it_starts_stops_what_was_started() {
    let sandbox = Sandbox::new();
    let pid_file = sandbox.home().join("postgres/data/postmaster.pid");
    is_stopped(&sandbox, "dev", || pid_file.exists());
}

#[test]
fn a_signal_while_the_database_is_made_ends_that_too() {
    let sandbox = Sandbox::new();
    let draft = sandbox.home().join("postgres/data.draft");
    is_stopped(&sandbox, "dev", || draft.exists());
    let folder = sandbox.home().join("postgres").canonicalize().unwrap().join("data.draft");
    eventually("initdb ends", || (!is_named(folder.to_str().unwrap())).then_some(()));
    assert!(!draft.join("base/5").exists(), "initdb came to its end, which makes the database postgres last");
}

/// Whether the command line of any process contains a text.
fn is_named(text: &str) -> bool {
    let lines = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = lines.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).any(|line| line.contains(text))
}

#[test]
fn a_signal_while_the_private_databases_are_migrated_stops_what_was_started() {
    let sandbox = Sandbox::new();
    is_stopped(&sandbox, "migrate", || sandbox.servers_listen() == (true, true));
}

#[test]
fn a_signal_while_the_first_tenant_is_made_is_followed_by_a_start_that_has_it() {
    let sandbox = Sandbox::new();
    is_stopped(&sandbox, "dev", || sandbox.has_users());
    let _dev = Dev::start(&sandbox);
    let tenants = sandbox.json(&["tenant", "list"]);
    assert_eq!(tenants.as_array().map(Vec::len), Some(1), "{tenants}");
}

/// Sends SIGINT when the command has come `far` enough, and checks that no server stays behind.
fn is_stopped(sandbox: &Sandbox, command: &str, far: impl Fn() -> bool) {
    let mut child = sandbox
        .inopsio(&[command])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("it has come so far", || far().then_some(()));
    kill("INT", child.id());
    eventually("it ends", || child.try_wait().unwrap());
    let pid_file = sandbox.home().join("postgres/data/postmaster.pid");
    eventually("the servers end", || (sandbox.servers_listen() == (false, false) && !pid_file.exists()).then_some(()));
}
