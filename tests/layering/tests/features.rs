//! Checks that tests and the program use the same features of their dependencies. Otherwise `make dev` after `make test`, and vice versa,
//! would compile most dependencies again.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::process::Command;

/// The features that each package is built with, considering these kinds of dependencies.
fn features(edges: &str) -> Result<BTreeMap<String, BTreeSet<String>>, Box<dyn Error>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}|{f}", "--edges", edges])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let mut features: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        if let Some((package, with)) = line.trim_end_matches(" (*)").split_once('|') {
            features.entry(package.to_owned()).or_default().insert(with.to_owned());
        }
    }
    Ok(features)
}

#[test]
fn no_test_builds_a_dependency_of_the_program_in_another_way() {
    let (program, with_tests) = (features("normal,build").unwrap(), features("all").unwrap());
    assert!(program.len() > 300 && with_tests.len() > program.len(), "the dependency graph was not read");
    let other: Vec<_> = program.iter().filter(|(package, with)| with_tests.get(*package) != Some(*with)).collect();
    assert!(
        other.is_empty(),
        "a dev-dependency turns on features that the program is built without: {other:#?}\nrun `cargo tree -e features -i <package>` \
         to see which one; do without them, or give the program the same in the root Cargo.toml"
    );
}
