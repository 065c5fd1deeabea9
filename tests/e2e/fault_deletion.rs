//! kill -9 of the server at each step of a tenant's deletion: the deletion continues, and another tenant is not affected.

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use testbed::{Hold, eventually};
use uuid::Uuid;

use crate::client::Client;
use crate::world::World;

/// Number of a tenant's rows in a service's database, without its events.
async fn beside(database: &PgConnectOptions, tenant: Uuid) -> i64 {
    let mut superuser: PgConnection = database.connect().await.unwrap();
    let count = "SELECT (SELECT count(*) FROM log.claims WHERE tenant_id = $1)
                      + (SELECT count(*) FROM log.commands WHERE tenant_id = $1)
                      + (SELECT count(*) FROM saga.instances WHERE tenant_id = $1)";
    sqlx::query_scalar(count).bind(tenant).fetch_one(&mut superuser).await.unwrap()
}

async fn works(client: &Client, name: &str) {
    client.done("/v1/crm/leads", json!({ "name": name, "email": format!("{name}@example.com") })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_deletion_killed_at_each_step_goes_on_and_leaves_nothing_but_history() {
    let mut world = World::new().await;
    let (acme, globex) = (world.tenant("acme"), world.tenant("globex"));
    world.start(0).await;
    for nth in 0..5 {
        works(&globex, &format!("globex{nth}")).await;
    }
    works(&acme, "acme").await;
    let listed: Value = serde_json::from_str(&world.ok(&["tenant", "list", "--format", "json"])).unwrap();
    let listed = listed.as_array().unwrap().iter().find(|tenant| tenant["slug"] == "globex").unwrap();
    let id: Uuid = listed["tenant_id"].as_str().unwrap().parse().unwrap();
    let database = |name: &str| world.postgres.admin().database(name).disable_statement_logging();
    let [crm, user, directory] = ["inopsio_crm", "inopsio_user", "inopsio_directory"].map(database);
    assert!(beside(&crm, id).await > 5 && beside(&user, id).await > 1);

    let steps = [
        ("CRM is emptied", &crm, "INSERT", "log.closed", "NEW.state = 'deleted'"),
        ("CRM is closed", &crm, "UPDATE", "log.closed", "NEW.state = 'deleted' AND NEW.until = 'infinity'"),
        ("the deletion is noted", &directory, "INSERT", "placements", "true"),
        (
            "the last service is closed",
            &user,
            "UPDATE",
            "log.closed",
            "NEW.state = 'deleted' AND NEW.until = 'infinity'",
        ),
    ];
    for (nth, (step, database, moment, table, condition)) in steps.into_iter().enumerate() {
        let hold = Hold::on(database, moment, table, condition).await;
        if nth == 0 {
            let delete = ["tenant", "delete", "globex", "--reason", "contract ended", "--grace-days", "0"];
            tokio::task::block_in_place(|| world.ok(&delete));
        } else {
            world.start(0).await;
        }
        hold.reached().await;
        if nth == 3 {
            // The directory no longer lists the tenant. An operator finds its last saga by the tenant's id.
            let by_id = id.to_string();
            let sagas = ["--format", "json", "saga", "list", "--tenant", &by_id];
            // The step is listed once its beginning is in the read model.
            eventually("the last step is listed", async || {
                let sagas = tokio::task::block_in_place(|| world.ok(&sagas));
                (sagas.contains("delete_tenant") && sagas.contains("destroy_last")).then_some(())
            })
            .await;
            let by_name = tokio::task::block_in_place(|| world.run(&["saga", "list", "--tenant", "globex"]));
            assert!(String::from_utf8_lossy(&by_name.stderr).contains("there is no tenant"), "{by_name:?}");
            let of_all = ["--format", "json", "saga", "list", "--saga", "delete_tenant"];
            let of_all = tokio::task::block_in_place(|| world.ok(&of_all));
            assert!(of_all.contains(&format!("\"tenant\": \"{by_id}\"")), "{of_all}");
        }
        world.kill(0);
        hold.end().await;
        println!("killed when {step}");
    }
    world.start(0).await;
    eventually("nothing is left", async || {
        let left = [beside(&crm, id).await, beside(&user, id).await];
        (left == [0, 0]).then_some(())
    })
    .await;
    works(&acme, "still").await;
    let told: Value = serde_json::from_str(&world.ok(&["tenant", "list", "--deleted", "--format", "json"])).unwrap();
    assert_eq!(told.as_array().unwrap().len(), 1, "told once: {told}");
    assert_eq!((&told[0]["slug"], &told[0]["tenant_id"]), (&json!("globex"), &json!(id)));
    // An auditor can still read the history by the tenant's id.
    let by_id = id.to_string();
    let history = world.ok(&["replay", "--tenant", &by_id, "--service", "crm"]);
    assert_eq!(history.lines().count(), 5, "{history}");
    let by_name = world.run(&["replay", "--tenant", "globex"]);
    assert!(String::from_utf8_lossy(&by_name.stderr).contains(&format!("by its id, {id}")), "{by_name:?}");
    let lead = globex.post_once("late", "/v1/crm/leads", &json!({ "name": "late" })).await.unwrap();
    assert_eq!((lead.status.as_u16(), lead.code()), (403, "tenant_deleted"), "{lead:?}");
    world.verify(&acme).await;
    world.stop(0).await;
}
