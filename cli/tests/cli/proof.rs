//! An auditor's checks with an exported file and a public key.

use std::path::Path;

use serde_json::json;

use crate::sandbox::{Dev, Sandbox, eventually};

/// Writes a changed copy of a file. Returns its path.
fn changed(file: &Path, change: impl FnOnce(&mut Vec<String>)) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    let changed = file.with_extension("changed");
    lines.push(String::new());
    std::fs::write(&changed, lines.join("\n")).unwrap();
    changed.to_str().unwrap().to_owned()
}

/// Indices of the lines with events.
fn events(lines: &[String]) -> Vec<usize> {
    let events = lines.iter().enumerate().filter(|(_, line)| line.starts_with("{\"event\""));
    events.map(|(at, _)| at).collect()
}

type Change = Box<dyn FnOnce(&mut Vec<String>)>;

/// Manipulations of a file, each of which must be detected.
fn changes() -> Vec<(&'static str, Change)> {
    vec![
        (
            "a byte",
            Box::new(|lines| {
                let at = events(lines)[1];
                lines[at] = lines[at].replacen("\"sequence\":1", "\"sequence\":2", 1);
            }),
        ),
        (
            "a payload",
            Box::new(|lines| {
                let at = events(lines)[1];
                lines[at] = lines[at].replacen("\"payload\":{", "\"payload\":{\"more\":1,", 1);
            }),
        ),
        (
            "a time, by less than is hashed",
            Box::new(|lines| {
                let at = events(lines)[1];
                lines[at] = lines[at].replacen("Z\",\"payload\"", "001Z\",\"payload\"", 1);
            }),
        ),
        (
            "two events in other places",
            Box::new(|lines| {
                let at = events(lines);
                lines.swap(at[0], at[1]);
            }),
        ),
        (
            "an event less",
            Box::new(|lines| {
                let at = events(lines)[1];
                lines.remove(at);
            }),
        ),
        ("the end", Box::new(|lines| drop(lines.pop()))),
        (
            "another signature",
            Box::new(|lines| {
                let at = lines.iter().position(|line| line.starts_with("{\"seal\"")).unwrap();
                lines[at] = lines[at].replacen("\"size\":", "\"size\":1", 1);
            }),
        ),
        ("a line more", Box::new(|lines| lines.push(lines[0].clone()))),
        ("no such file", Box::new(Vec::clear)),
    ]
}

/// Invalid filters are refused, and no output file is created.
fn slips_are_refused(sandbox: &Sandbox) {
    let slips: [(&[&str], &str); 7] = [
        (&["--service", "crm", "--event", "crm.lead.captred"], "allowed of crm.lead: crm.lead."),
        (&["--service", "crm", "--event", "auth.session.started"], "begins with the service auth"),
        (&["--service", "crm", "--aggregate", "crm.leads"], "there is no aggregate type \"crm.leads\"; allowed: crm."),
        (
            &["--service", "crm", "--aggregate", "crm.account", "--event", "crm.lead.captured"],
            "which no crm.account has",
        ),
        (&["--service", "crm", "--aggregate", "crm.lead", "--id", "nope"], "has no crm.lead with the id nope"),
        (&["--service", "crm", "--recorded-from", "2026-02-01", "--recorded-until", "2026-01-01"], "is not after"),
        (&["--sign-ins", "--user", "0197a8a0-0000-7000-8000-000000000001"], "has no user with the id 0197a8a0"),
    ];
    let slipped = sandbox.folder.join("slipped.ndjson");
    for (slip, why) in slips {
        let to = ["--output", slipped.to_str().unwrap()];
        let ended = sandbox.run(&[&["audit", "export", "--tenant", "demo"][..], slip, &to[..]].concat());
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{slip:?}");
        assert!(ended.stderr.contains(why), "{slip:?}: {}", ended.stderr);
        assert!(!slipped.exists() && !slipped.with_extension("ndjson.part").exists(), "{slip:?}");
    }
}

/// A history without events is not taken for one that nobody seals.
fn where_nothing_happened_nothing_is_proven(sandbox: &Sandbox) {
    sandbox.ok(&["tenant", "create", "empty"]);
    let export = ["audit", "export", "--tenant", "empty", "--service", "crm"];
    let whole = sandbox.run(&export);
    assert!(whole.status.success() && whole.stderr.contains("proves nothing: it has no events"), "{whole:#?}");
    let part = sandbox.run(&[&export[..], &["--event", "crm.lead.captured"]].concat());
    assert_eq!((part.status.code(), part.stdout.as_str()), (Some(1), ""));
    assert!(part.stderr.contains("the history of empty in crm: it has no events"), "{}", part.stderr);
}

/// A user without sign-ins is looked up in the `user` service. If its database can't be reached, the export continues with a warning.
fn users_need_not_be_known(sandbox: &Sandbox) {
    let mut unknown = sandbox.inopsio(&["audit", "export", "--tenant", "demo", "--sign-ins", "--user"]);
    unknown.args(["0197a8a0-0000-7000-8000-000000000001"]).env("INOPSIO_DATABASE_USER", "inopsio_nowhere");
    let ended = unknown.output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && said.contains("can't be asked") && said.contains("inopsio_nowhere"), "{said}");
}

/// `--known` accepts an earlier file of the same history and refuses another history; an unknown key is not trusted.
fn is_held_against_what_was_kept(alone: &Sandbox, pem: &str, [whole, part, other]: [&str; 3]) {
    let held = |file: &str, known: &str| alone.run(&["audit", "check", file, "--key", pem, "--known", known]);
    assert!(held(whole, part).status.success());
    let ended = held(whole, other);
    assert!(!ended.status.success() && ended.stderr.contains("another history"), "{ended:#?}");
    let ended = held(part, whole);
    assert!(!ended.status.success() && ended.stderr.contains("only a whole history"), "{ended:#?}");
    let stranger = alone.folder.join("stranger.pem");
    let key = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    std::fs::write(&stranger, key).unwrap();
    let ended = alone.run(&["audit", "check", whole, "--key", stranger.to_str().unwrap()]);
    assert!(!ended.status.success() && ended.stderr.contains("not signed by a trusted key"), "{ended:#?}");
    let id = alone.json(&["audit", "check", whole, "--key", pem])["key"].as_str().unwrap().to_owned();
    assert!(ended.stderr.contains(&format!("it names {id}; trusted: ")), "which key is missing: {}", ended.stderr);
}

/// `audit verify` refuses an earlier file with which nothing of what it verifies can be compared.
fn is_held_against_its_own_history_only(sandbox: &Sandbox, [crm, auth]: [&str; 2]) {
    let verify = |known: &[&str]| sandbox.run(&[&["audit", "verify", "--tenant", "demo"][..], known].concat());
    assert!(verify(&["--known", crm, "--known", auth]).status.success(), "all services");
    assert!(verify(&["--service", "crm", "--known", crm]).status.success());
    let ended = verify(&["--service", "crm", "--known", crm, "--known", auth]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains(auth) && ended.stderr.contains("nothing would be compared"), "{}", ended.stderr);
}

#[test]
fn a_history_is_proven_by_a_file_and_a_key_and_whatever_was_done_to_the_file_is_seen() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    for name in ["Ada Lovelace", "Grace Hopper", "Katherine Johnson"] {
        sandbox.post(dev.token(), "/v1/crm/leads", &json!({ "name": name }));
    }
    let sealed = |service: &str| {
        let verified = sandbox.json(&["audit", "verify", "--tenant", "demo", "--service", service]);
        verified[0]["unsealed"] == 0 && verified[0]["events"].as_u64() > Some(0)
    };
    eventually("both logs are sealed", || (sealed("crm") && sealed("auth")).then_some(()));

    let pem = sandbox.folder.join("seals.pem");
    std::fs::write(&pem, sandbox.ok(&["audit", "key"])).unwrap();
    let key = sandbox.json(&["audit", "key"]);
    assert_eq!(key["pem"].as_str().unwrap(), std::fs::read_to_string(&pem).unwrap());
    let pem = pem.to_str().unwrap();
    let (whole, part) = (sandbox.folder.join("crm.ndjson"), sandbox.folder.join("part.ndjson"));
    let export = ["audit", "export", "--tenant", "demo", "--service", "crm"];
    sandbox.ok(&[&export[..], &["--output", whole.to_str().unwrap()]].concat());
    let one = ["--event", "crm.lead.captured", "--output", part.to_str().unwrap()];
    sandbox.ok(&[&export[..], &one].concat());
    let signing_in = sandbox.folder.join("sign-ins.ndjson");
    sandbox.ok(&["audit", "export", "--tenant", "demo", "--sign-ins", "--output", signing_in.to_str().unwrap()]);
    slips_are_refused(&sandbox);
    where_nothing_happened_nothing_is_proven(&sandbox);
    users_need_not_be_known(&sandbox);
    is_held_against_its_own_history_only(&sandbox, [&whole, &signing_in].map(|file| file.to_str().unwrap()));
    drop(dev);

    // From here on without servers and without a configuration.
    let alone = Sandbox::new();
    let check = |file: &str| alone.run(&["audit", "check", file, "--key", pem]);
    for (file, whole) in [(&whole, true), (&part, false)] {
        let proven = alone.json(&["audit", "check", file.to_str().unwrap(), "--key", pem]);
        assert_eq!(
            (&proven["events"], &proven["whole"], &proven["service"]),
            (&json!(3), &json!(whole), &json!("crm"))
        );
        let proven = check(file.to_str().unwrap()).stdout;
        assert!(proven.starts_with("3 events, ") && proven.contains("as they were sealed at"), "{proven}");
    }
    let sign_ins = alone.json(&["audit", "check", signing_in.to_str().unwrap(), "--key", pem]);
    assert_eq!(
        (&sign_ins["service"], &sign_ins["of"], &sign_ins["key"]),
        (&json!("auth"), &json!("sign-ins"), &key["id"])
    );

    let foreign = check(pem);
    assert!(foreign.stderr.contains("does not begin as a file of"), "{}", foreign.stderr);
    for file in [&whole, &part] {
        for (what, change) in changes() {
            let ended = check(&changed(file, change));
            assert_eq!(ended.status.code(), Some(1), "{what}: {ended:#?}");
            assert!(ended.stdout.is_empty() && ended.stderr.contains("proves nothing"), "{what}: {}", ended.stderr);
            let seal = ended.stderr.contains("is not the one that was signed");
            assert_eq!(seal, what == "another signature", "{what}: {}", ended.stderr);
        }
    }
    let files = [&whole, &part, &signing_in].map(|file| file.to_str().unwrap());
    is_held_against_what_was_kept(&alone, pem, files);
}
