//! Checks that all keys of advisory locks come from one enumeration, in which the compiler refuses duplicates.

#![allow(clippy::unwrap_used)]

use std::fs;

use layering::sources::{files, root};

/// The file with the enumeration.
const KEYS: &str = "eventstore/src/lock/keys.rs";
/// The part of the name that all functions for advisory locks have.
const FUNCTION: &str = "advisory";

/// The first argument of each call of an advisory lock function in a text.
fn keys(text: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(FUNCTION) {
        let before = &rest[..at];
        rest = &rest[at + FUNCTION.len()..];
        let called = before.ends_with("pg_") || before.ends_with("pg_try_");
        let name = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        if called && let Some(arguments) = rest[name..].strip_prefix('(') {
            keys.push(arguments.split([',', ')']).next().unwrap_or_default().trim());
        }
    }
    keys
}

/// The numbers in the enumeration, as SQL writes them.
fn listed(list: &str) -> Vec<String> {
    let numbers = list.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "));
    numbers.map(|(_, number)| number.replace('_', "")).collect()
}

#[test]
fn every_advisory_lock_has_a_key_of_the_list() {
    let root = root();
    let list = fs::read_to_string(root.join(KEYS)).unwrap();
    let listed = listed(&list);
    assert!(listed.len() > 15, "the list was not read: {listed:?}");
    // Without tests: these take locks by number to block a program.
    let files = files(&root, &["rs", "sql"]).unwrap();
    let (mut taken, mut wrong) = (0, Vec::new());
    for file in files.iter().filter(|file| !file.ends_with(KEYS)) {
        let text = fs::read_to_string(file).unwrap();
        for key in keys(&text) {
            taken += 1;
            // Bound as a parameter, or a literal number in a migration, which can't use the enumeration.
            if key != "$1" && !listed.iter().any(|number| number == key) {
                wrong.push(format!("{}: {key}", file.display()));
            }
        }
        // Rust code must not contain the numbers themselves.
        let numbers = ["7_164_702_", "71_647", "71_648", "71_649", "71_65"];
        if file.extension().is_some_and(|extension| extension == "rs") && numbers.iter().any(|of| text.contains(of)) {
            wrong.push(format!("{}: a number of its own", file.display()));
        }
    }
    assert!(taken > 10, "{taken} places take a lock: the sources were not read");
    assert!(
        wrong.is_empty(),
        "these lock by keys that are not eventstore::LockKey or LockClass:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_key_that_is_written_out_is_found() {
    assert_eq!(keys("SELECT pg_try_advisory_lock(42, hashtext($1))"), ["42"]);
    assert_eq!(keys("PERFORM pg_advisory_xact_lock(hashtext('x'));"), ["hashtext('x'"]);
    assert_eq!(keys("SELECT pg_advisory_unlock_shared($1, $2), pg_advisory_lock($1)"), ["$1", "$1"]);
    assert!(keys("an advisory lock (of Postgres)").is_empty());
    assert_eq!(listed("    /// one\n    Writing = 7_164,\n"), ["7164"]);
}
