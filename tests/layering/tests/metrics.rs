//! Checks that the list of metrics in docs/src/operations.md has those that the programs export, and no others.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;

use layering::sources::{files, root};

/// The list.
const LIST: &str = "docs/src/operations.md";

/// The names of the metrics that are set in a source text.
fn exported(text: &str) -> BTreeSet<String> {
    let set = ["metrics::counter!(", "metrics::gauge!(", "metrics::histogram!("];
    let calls = set.iter().flat_map(|set| text.split(*set).skip(1));
    calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next()).map(str::to_owned).collect()
}

/// The names in the first column of a table of metrics.
fn listed(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter(|line| line.starts_with("| `inopsio_")).filter_map(|line| line.split('|').nth(1));
    names.flat_map(|names| names.split('`').filter(|name| name.starts_with("inopsio_"))).map(str::to_owned).collect()
}

#[test]
fn the_list_of_metrics_has_those_that_there_are() {
    let root = root();
    let sources = files(&root, &["rs"]).unwrap();
    let exported: BTreeSet<_> =
        sources.iter().flat_map(|source| exported(&fs::read_to_string(source).unwrap())).collect();
    assert!(exported.len() > 30, "the sources were not read: {exported:?}");
    let listed = listed(&fs::read_to_string(root.join(LIST)).unwrap());
    let missing: Vec<_> = exported.difference(&listed).collect();
    assert!(missing.is_empty(), "{LIST} does not list these metrics; say there what they tell: {missing:?}");
    let gone: Vec<_> = listed.difference(&exported).collect();
    assert!(gone.is_empty(), "{LIST} lists these metrics, which nothing sets any more: {gone:?}");
}

#[test]
fn a_metric_is_found_where_it_is_set_and_where_it_is_listed() {
    let source = r#"metrics::describe_gauge!("inopsio_b", "…"); metrics::counter!(
            "inopsio_a_total", "service" => service); metrics::gauge!("inopsio_b").set(1.0);"#;
    let names = BTreeSet::from(["inopsio_a_total".to_owned(), "inopsio_b".to_owned()]);
    assert_eq!(exported(source), names);
    assert_eq!(listed("`inopsio_crm`\n| `inopsio_a_total`, `inopsio_b` | see `inopsio_c` |\n"), names);
}
