//! Checks the layers of this workspace, and that the check detects violations.

use std::process::Command;

use layering::metadata::{Dependency, Kind, Member, Workspace};
use layering::violations;

#[test]
fn no_crate_depends_on_what_the_drawing_forbids() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let workspace = Workspace::read(&String::from_utf8(output.stdout).unwrap()).unwrap();
    assert!(workspace.member("kernel").is_some(), "the workspace was not read");
    let kernel = &workspace.member("kernel").unwrap().id;
    assert!(workspace.reached_by(kernel).contains("serde"), "the dependency graph was not read");

    let found = violations(&workspace);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// A workspace of crates that are named by their folders, with these dependencies.
fn workspace(crates: &[(&str, &[(&str, Kind)])]) -> Workspace {
    let members = crates.iter().map(|(folder, dependencies)| Member {
        id: (*folder).to_owned(),
        name: (*folder).to_owned(),
        folder: (*folder).to_owned(),
        dependencies: dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: *kind })
            .collect(),
    });
    Workspace {
        members: members.collect(),
        names: crates.iter().map(|(folder, _)| ((*folder).to_owned(), (*folder).to_owned())).collect(),
        ..Workspace::default()
    }
}

fn arrow_is_refused(from: &str, to: &str, kind: Kind) -> bool {
    let found = violations(&workspace(&[(from, &[(to, kind)]), (to, &[])]));
    assert!(found.len() <= 1, "{found:?}");
    found.first().is_some_and(|message| message.contains(from) && message.contains(to))
}

#[test]
fn each_forbidden_arrow_is_found() {
    for (from, to) in [
        ("aggregates/crm", "eventstore"),
        ("aggregates/crm", "aggregates/erp"),
        ("aggregates/crm", "nats"),
        ("projections/crm", "commands/crm"),
        ("projections/crm", "commands/executor"),
        ("commands/crm", "projections/crm"),
        ("commands/crm", "commands/erp"),
        ("commands/crm", "aggregates/erp"),
        ("projections/crm", "aggregates/erp"),
        ("api/crm", "api/erp"),
        ("api/crm", "commands/erp"),
        ("api/crm", "api/gateway"),
        ("commands/crm", "api/face"),
        ("api/face", "api/crm"),
        ("api/face", "commands/crm"),
        ("nats", "eventstore"),
        ("kernel", "aggregates/crm"),
        ("eventstore", "commands/executor"),
        ("edge-agent", "eventstore"),
        ("sagas/crm", "projections/crm"),
        ("sagas/crm", "api/face"),
        ("sagas/coordinator", "aggregates/crm"),
        ("commands/crm", "sagas/crm"),
        ("api/crm", "sagas/crm"),
        ("eventstore", "config"),
        ("config", "api/auth"),
        ("config", "directory"),
        ("sagas/user", "directory"),
        ("directory", "api/face"),
        ("api/user", "directory"),
        ("api/remote", "api/auth"),
        ("api/gateway", "cli"),
        ("cli", "tests/testbed"),
    ] {
        assert!(arrow_is_refused(from, to, Kind::Build), "{from} → {to} was let through");
    }
}

#[test]
fn each_drawn_arrow_is_let_through() {
    for (from, to) in [
        ("aggregates/crm", "kernel"),
        ("eventstore", "nats"),
        ("commands/executor", "eventstore"),
        ("commands/crm", "aggregates/crm"),
        ("commands/crm", "commands/executor"),
        ("projections/crm", "projections/projector"),
        ("projections/crm", "aggregates/crm"),
        ("sagas", "commands/crm"),
        ("sagas/crm", "commands/crm"),
        ("sagas/crm", "aggregates/erp"),
        ("sagas/crm", "sagas/coordinator"),
        ("sagas/coordinator", "commands/executor"),
        ("api/sagas", "sagas/coordinator"),
        ("api/crm", "api/face"),
        ("api/crm", "commands/crm"),
        ("api/crm", "projections/crm"),
        ("api/gateway", "api/crm"),
        ("api/gateway", "directory"),
        ("directory", "config"),
        ("directory", "sagas/user"),
        ("config", "webhooks"),
        ("edge-agent", "nats"),
        ("cli", "api/gateway"),
    ] {
        assert!(!arrow_is_refused(from, to, Kind::Build), "{from} → {to} was refused");
    }
}

#[test]
fn tests_may_use_the_testbed_but_a_domains_tests_stay_pure() {
    assert!(!arrow_is_refused("eventstore", "tests/testbed", Kind::Dev));
    assert!(arrow_is_refused("eventstore", "tests/testbed", Kind::Build));
    assert!(arrow_is_refused("aggregates/crm", "tests/testbed", Kind::Dev));
    assert!(arrow_is_refused("projections/crm", "commands/crm", Kind::Dev));
}

#[test]
fn io_is_found_however_deep_it_is_below_an_aggregate() {
    let mut workspace = workspace(&[("aggregates/crm", &[])]);
    workspace.names.extend([("middle".to_owned(), "middle".to_owned()), ("deep".to_owned(), "sqlx".to_owned())]);
    workspace.built_from.insert("aggregates/crm".to_owned(), vec!["middle".to_owned()]);
    workspace.built_from.insert("middle".to_owned(), vec!["deep".to_owned()]);
    let found = violations(&workspace);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("reaches sqlx"), "{found:?}");
}

#[test]
fn a_pure_crate_asks_for_no_runtime() {
    let found = violations(&workspace(&[("aggregates/crm", &[("tokio", Kind::Build)])]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("depends on tokio"), "{found:?}");
}

#[test]
fn a_folder_that_is_no_station_is_named() {
    let found = violations(&workspace(&[("utils", &[])]));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("no station"), "{found:?}");
}
