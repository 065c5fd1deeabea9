//! What lists look like on a terminal, and in a pipe.

use serde_json::json;

use crate::sandbox::{Dev, Sandbox, eventually};

#[test]
fn a_list_fits_a_terminal_of_eighty_columns_with_whole_ids_and_is_a_line_a_row_in_a_pipe() {
    let sandbox = Sandbox::new();
    let dev = Dev::start(&sandbox);
    sandbox.lead_to_follow_up(dev.token());
    sandbox.send(dev.token(), "/v1/crm/imports", "text/csv", "name,email\nAda,ada@example.com\n");
    sandbox.ok(&["job", "schedule", "create", "--tenant", "demo", "--cron", "0 6 1 1 *", "export_leads"]);
    sandbox.ok(&["webhook", "create", "--tenant", "demo", "http://127.0.0.1:9/hooks", "--event", "crm.lead.*"]);
    sandbox.ok(&["tenant", "create", "engines", "--name", "The Analytical Engines of Great Britain and Ireland"]);
    let sagas = ["saga", "list", "--tenant", "demo", "--service", "crm"];
    eventually("a saga begins", || (sandbox.json(&sagas) != json!([])).then_some(()));

    for (list, id) in [
        (&["tenant", "list"][..], "tenant_id"),
        (&sagas, "id"),
        (&["job", "list", "--tenant", "demo", "--service", "crm"], "id"),
        (&["job", "list", "--kind", "import_leads"], "id"),
        (&["job", "schedule", "list", "--tenant", "demo"], "id"),
        (&["job", "queue", "list", "--tenant", "demo"], "name"),
        (&["webhook", "list", "--tenant", "demo"], "id"),
        (&["projection", "status"], "projection"),
        (&["events", "lag"], "kind"),
        (&["key", "list", "--tenant", "demo"], "kid"),
        (&["dlq", "list", "--tenant", "demo"], "id"),
    ] {
        let shown = sandbox.on_terminal(80, list);
        let listed = sandbox.json(list);
        let listed = listed["keys"].as_array().or(listed.as_array()).unwrap();
        let widest = shown.lines().map(|line| line.trim_end().chars().count()).max();
        assert!((1..=80).contains(&widest.unwrap_or_default()), "{list:?}: {widest:?}\n{shown}");
        for one in listed {
            assert!(shown.contains(one[id].as_str().unwrap()), "{list:?}: {one}\n{shown}");
        }
        // Beside the rows: the upper border, the names, the line below them, and the lower border.
        assert_eq!(sandbox.ok(list).lines().count(), listed.len() + 4, "{list:?}");
    }
}
