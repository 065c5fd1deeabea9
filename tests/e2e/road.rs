//! The complete path of a lead from REST to GraphQL and replay; other tenants see nothing of it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::stream;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn road_a_lead_goes_from_rest_to_graphql_to_replay_and_no_other_tenant_sees_it() {
    let mut world = World::new().await;
    world.start(0).await;
    a_lead_goes_the_whole_road(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn road_is_the_same_through_a_gateway_to_two_instances_of_the_service() {
    let mut world = World::new().await;
    let ports = [testbed::free_port(), testbed::free_port()];
    for (number, port) in ports.into_iter().enumerate() {
        world.start_instance(number + 1, port).await;
    }
    world.start_gateway(0, &ports).await;
    a_lead_goes_the_whole_road(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_has_nothing_to_warn_of() {
    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let lead = client.done("/v1/crm/leads", json!({ "name": "Ada Lovelace" })).await;
    client.ask(&format!("lead(id: \"{}\") {{ name }}", lead.id()), lead.position()).await;
    stream::ends_at(&world.bus().await, lead.position()).await;
    let log = world.log(0);
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    // sqlx warns about slow statements, which depend on the machine.
    let about_us = |line: &Value| line["target"].as_str().is_none_or(|target| !target.starts_with("sqlx"));
    let warnings: Vec<_> = lines.filter(|line| line["level"] != "INFO" && about_us(line)).collect();
    assert_eq!(warnings, [] as [Value; 0]);
    world.stop(0).await;
}

async fn a_lead_goes_the_whole_road(world: World) {
    let (acme, globex) = (world.tenant("acme"), world.tenant("globex"));

    let lead = acme.done("/v1/crm/leads", json!({ "name": "Ada Lovelace", "email": "ada@example.com" })).await;
    let path = format!("/v1/crm/leads/{}", lead.id());
    acme.done(&format!("{path}/assign"), json!({ "owner": "grace" })).await;
    acme.done(&format!("{path}/start-work"), json!({})).await;
    let qualified = acme.done(&format!("{path}/qualify"), json!({ "note": "has a budget" })).await;

    // Read your own writes: visible at once.
    let question = format!("lead(id: \"{}\") {{ name status owner version }} leads {{ totalCount }}", lead.id());
    let found = acme.ask(&question, qualified.position()).await;
    let expected = json!({ "name": "Ada Lovelace", "status": "QUALIFIED", "owner": "grace", "version": 4 });
    assert_eq!(found, json!({ "lead": expected, "leads": { "totalCount": 1 } }));

    // Its history, as an auditor sees it.
    let replay = |tenant: &str, id: &[&str]| {
        let replayed = world.run(&[&["replay", "--tenant", tenant, "--service", "crm"], id].concat());
        assert!(replayed.status.success(), "{replayed:?}");
        let events: Vec<Value> = replayed
            .stdout
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let said = String::from_utf8(replayed.stderr).unwrap();
        assert!(said.ends_with(&format!("{0} of {0}\n", events.len())), "{said}");
        events
    };
    let names = |events: &[Value]| {
        events.iter().map(|event| event["event_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let history = replay("acme", &["--id", lead.id()]);
    let steps = ["crm.lead.captured", "crm.lead.assigned", "crm.lead.work_started", "crm.lead.qualified"];
    assert_eq!(names(&history), steps);
    assert_eq!(history[3]["position"], qualified.position());

    // For another tenant it is as unknown as a lead that does not exist, in every interface.
    let never = "0197a8a0-0000-7000-8000-000000000001";
    let unknown = globex.get(&format!("/v1/crm/leads/{never}")).await;
    let foreign = globex.get(&path).await;
    assert_eq!((foreign.status, foreign.code()), (StatusCode::NOT_FOUND, unknown.code()), "{foreign:?}");
    let refused = globex.post_once("theirs", &format!("{path}/assign"), &json!({ "owner": "mallory" })).await.unwrap();
    assert_eq!((refused.status, refused.code()), (StatusCode::NOT_FOUND, unknown.code()), "{refused:?}");
    let found = globex.ask(&format!("{question} leadHistory(id: \"{}\") {{ version }}", lead.id()), 4).await;
    assert_eq!(found, json!({ "lead": null, "leads": { "totalCount": 0 }, "leadHistory": [] }));
    assert_eq!(replay("globex", &[]), [] as [Value; 0]);
    for id in [lead.id(), never] {
        let replayed = world.run(&["replay", "--tenant", "globex", "--service", "crm", "--id", id]);
        let said = String::from_utf8(replayed.stderr).unwrap();
        assert_eq!((replayed.status.code(), &*replayed.stdout), (Some(1), &b""[..]), "{said}");
        assert_eq!(said, format!("inopsio: the tenant globex has no aggregate with the id {id}\n"));
    }
    assert_eq!(names(&replay("acme", &[])), steps, "the other tenant wrote something");
    assert_eq!(world.verify(&acme).await.len(), 4);
}
