//! `inopsio demo` and `inopsio seed` with small data sets.

use serde_json::json;

use crate::sandbox::{Dev, Sandbox};

#[test]
fn a_demo_answers_programs_in_one_document_and_loads_nothing_twice() {
    let sandbox = Sandbox::new();
    let _dev = Dev::start(&sandbox);
    let seeded = sandbox.json(&["seed", "--tenant", "small", "--leads", "50", "--until", "2026-01-01"]);
    assert_eq!((&seeded["loaded"][3]["records"], &seeded["answers"]), (&json!(50), &json!([])), "{seeded}");

    let demo = || sandbox.json(&["demo", "--tenant", "small", "--leads", "50", "--until", "2026-01-01"]);
    let first = demo();
    let questions: Vec<_> = first["answers"].as_array().unwrap().iter().map(|answer| &answer["question"]).collect();
    let boards = ["pipelineBoard"; 4];
    assert_eq!(questions, [&boards[..], &["pipelineMovement", "funnel", "replay"]].concat(), "{first}");
    let captured = |answer: &serde_json::Value| -> u64 {
        let sources = answer["answer"].as_array().unwrap();
        sources.iter().map(|source| source["captured"].as_u64().unwrap()).sum()
    };
    assert_eq!(captured(&first["answers"][5]), 50, "{first}");
    let replayed = first["answers"][6]["answer"].as_array().unwrap();
    assert_eq!(replayed.last().unwrap()["event_type"], "crm.lead.converted", "{first}");
    assert_eq!(captured(&demo()["answers"][5]), 50, "what is there is not loaded again");
}

#[test]
fn a_tenant_with_pipelines_or_currencies_of_its_own_is_refused_with_what_to_do() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    sandbox.post(dev.token(), "/v1/crm/currencies/set-base", &json!({ "base": "USD" }));
    let refused = sandbox.run(&["demo", "--leads", "50"]);
    assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    for told in ["--tenant", "occurred_before_last_change"] {
        assert!(refused.stderr.contains(told), "{told} is not in {}", refused.stderr);
    }
    let events = sandbox.run(&["replay", "--tenant", "demo", "--service", "crm"]);
    assert_eq!(events.stderr, "1 of 1\n", "something was made");
}
