use chrono::{DateTime, Duration, SecondsFormat, Utc};
use crm_commands::{
    AssignLead, CaptureLead, ChangeOpportunityAmount, ConvertLead, LeadFields, MoneyFields, MoveOpportunity,
    NewOpportunity, OpenOpportunity, QualifyLead, StartLeadWork, WinOpportunity,
};
use kernel::{Clock, SystemClock};
use serde_json::json;

use crate::world::World;

fn days_ago(days: i64) -> DateTime<Utc> {
    SystemClock.now() - Duration::days(days)
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn euros(minor: i64) -> MoneyFields {
    MoneyFields { minor, currency: "EUR".to_owned() }
}

#[tokio::test]
async fn the_board_of_a_past_day_differs_from_todays_and_from_what_was_known_then() {
    let world = World::start().await;
    let pipeline = world.pipeline(Some(days_ago(100))).await;
    let open = OpenOpportunity {
        name: "A deal".to_owned(),
        account: None,
        contact: None,
        pipeline: pipeline.pipeline,
        stage: None,
        amount: euros(123_450),
        close_date: days_ago(-30).date_naive(),
        owner: None,
        line_items: Vec::new(),
    };
    let opportunity = world.command(Some(days_ago(90)), open).await.unwrap();
    world.command(Some(days_ago(50)), MoveOpportunity { opportunity, stage: pipeline.stages[1] }).await.unwrap();
    let amount = ChangeOpportunityAmount { opportunity, amount: euros(100_000), line_items: Vec::new() };
    world.command(Some(days_ago(40)), amount).await.unwrap();
    let board = |arguments: String| {
        format!(
            "pipelineBoard(pipelineId: \"{}\"{arguments}) {{
                 name count stages {{ stage {{ name probability }} count total {{ amount currency }} }} weighted {{ amount minor }}
             }}",
            pipeline.pipeline
        )
    };
    let today = world.ask(&board(String::new())).await;
    let stage = |name: &str, probability: i32, count: i32, amount: &str| {
        let stage = json!({ "name": name, "probability": probability });
        json!({ "stage": stage, "count": count, "total": { "amount": amount, "currency": "EUR" } })
    };
    let expected = json!({
        "name": "Sales",
        "count": 1,
        "stages": [stage("First", 10, 0, "0.00"), stage("Second", 50, 1, "1000.00")],
        "weighted": { "amount": "500.00", "minor": "50000" },
    });
    assert_eq!(today["pipelineBoard"], expected);

    let then = text(days_ago(60));
    let past = world.ask(&board(format!(", asOf: \"{then}\""))).await;
    assert_eq!(past["pipelineBoard"]["stages"][0], stage("First", 10, 1, "1234.50"));
    let known = world.ask(&board(format!(", asOf: \"{then}\", knownAt: \"{then}\""))).await;
    assert_eq!(known["pipelineBoard"]["count"], 0, "all of it was told today");

    let movement = world
        .ask(&format!(
            "pipelineMovement(pipelineId: \"{}\", from: \"{then}\") {{
                 totals {{ kind count total {{ amount }} difference {{ amount }} }}
                 deals(kinds: [SHRUNK]) {{
                     totalCount
                     edges {{ node {{ name kinds before {{ amount {{ amount }} }} opportunity {{ stage {{ name }} }} }} }}
                 }}
                 none: deals(kinds: [WON]) {{ totalCount }}
             }}",
            pipeline.pipeline
        ))
        .await;
    let total = |kind: &str| json!({ "kind": kind, "count": 1, "total": { "amount": "1000.00" }, "difference": { "amount": "-234.50" } });
    assert_eq!(movement["pipelineMovement"]["totals"], json!([total("STAGE_CHANGED"), total("SHRUNK")]));
    let deal = json!({
        "name": "A deal", "kinds": ["STAGE_CHANGED", "SHRUNK"], "before": { "amount": { "amount": "1234.50" } },
        "opportunity": { "stage": { "name": "Second" } },
    });
    assert_eq!(movement["pipelineMovement"]["deals"], json!({ "totalCount": 1, "edges": [{ "node": deal }] }));
    assert_eq!(movement["pipelineMovement"]["none"], json!({ "totalCount": 0 }));
    let known = format!(
        "pipelineMovement(pipelineId: \"{}\", from: \"{then}\", knownAt: \"{then}\") {{
             totals {{ kind }} deals {{ totalCount nodes {{ name }} }} }}",
        pipeline.pipeline
    );
    let known = world.ask(&known).await;
    let nothing = json!({ "totals": [], "deals": { "totalCount": 0, "nodes": [] } });
    assert_eq!(known["pipelineMovement"], nothing, "all of it was told today");
    // For an unknown pipeline the answer is null, not a movement without changes.
    let unknown = uuid::Uuid::nil();
    let asked = format!(
        "pipelineMovement(pipelineId: \"{unknown}\", from: \"{then}\") {{ totals {{ count }} }}
         pipelineBoard(pipelineId: \"{unknown}\") {{ name }}"
    );
    assert_eq!(world.ask(&asked).await, json!({ "pipelineMovement": null, "pipelineBoard": null }));
}

#[tokio::test]
async fn a_time_that_ends_before_it_begins_is_refused() {
    let world = World::start().await;
    let pipeline = world.pipeline(None).await.pipeline;
    let (from, to) = (text(days_ago(1)), text(days_ago(2)));
    for asked in [
        format!(
            "pipelineMovement(pipelineId: \"{pipeline}\", from: \"{from}\", to: \"{to}\") {{ totals {{ count }} }}"
        ),
        format!("funnel(from: \"{from}\", to: \"{to}\") {{ captured }}"),
        format!("leads(filter: {{ capturedFrom: \"{from}\", capturedBefore: \"{to}\" }}) {{ totalCount }}"),
        "opportunities(filter: { closeFrom: \"2026-02-02\", closeBefore: \"2026-02-01\" }) { totalCount }".to_owned(),
    ] {
        assert_eq!(world.refused(&asked).await, "time_backwards", "{asked}");
    }
}

#[tokio::test]
async fn the_funnel_of_a_past_day_differs_from_todays_and_from_what_was_known_then() {
    let world = World::start().await;
    let details = LeadFields { name: "Ada".to_owned(), ..LeadFields::default() };
    let lead = world.command(Some(days_ago(6)), CaptureLead { details, ..CaptureLead::default() }).await.unwrap();
    world.command(Some(days_ago(4)), AssignLead { lead, owner: "grace".to_owned() }).await.unwrap();
    let (from, to) = (text(days_ago(10)), text(days_ago(-1)));
    let funnel = |arguments: &str| format!("funnel(from: \"{from}\", to: \"{to}\"{arguments}) {{ captured assigned }}");
    let then = text(days_ago(5));
    for (arguments, expected) in [
        (String::new(), json!([{ "captured": 1, "assigned": 1 }])),
        (format!(", asOf: \"{then}\""), json!([{ "captured": 1, "assigned": 0 }])),
        (format!(", asOf: \"{then}\", knownAt: \"{to}\""), json!([{ "captured": 1, "assigned": 0 }])),
        // All of it was told today.
        (format!(", asOf: \"{then}\", knownAt: \"{then}\""), json!([])),
        (format!(", knownAt: \"{then}\""), json!([])),
    ] {
        assert_eq!(world.ask(&funnel(&arguments)).await["funnel"], expected, "{arguments}");
    }
}

#[tokio::test]
async fn a_converted_lead_leads_to_what_it_became_and_is_counted_in_the_funnel() {
    let world = World::start().await;
    let pipeline = world.pipeline(None).await;
    let lead = world.lead("ada").await;
    world.command(None, AssignLead { lead, owner: "grace".to_owned() }).await.unwrap();
    world.command(None, StartLeadWork { lead }).await.unwrap();
    world.command(None, QualifyLead { lead, note: None }).await.unwrap();
    let opportunity = NewOpportunity {
        name: "An engine".to_owned(),
        pipeline: pipeline.pipeline,
        stage: None,
        amount: euros(100),
        close_date: days_ago(-30).date_naive(),
    };
    let convert = ConvertLead {
        lead,
        account: None,
        account_name: Some("Analytical Engines".to_owned()),
        contact: None,
        opportunity: Some(opportunity),
        allow_duplicate: false,
    };
    let became = world.command(None, convert).await.unwrap();
    world.command(None, WinOpportunity { opportunity: became.opportunity.unwrap() }).await.unwrap();
    let (from, to) = (text(days_ago(1)), text(days_ago(-1)));
    let seen = world
        .ask(&format!(
            "lead(id: \"{lead}\") {{
                 status account {{ name opportunities {{ name status lead {{ id }} history {{ change }} }} }} contact {{ name }}
                 opportunity {{ name pipeline {{ name stages {{ name }} }} stage {{ name }} amount {{ amount }} }}
             }}
             funnel(from: \"{from}\", to: \"{to}\") {{ source captured qualified converted conversionRate }}
             before: funnel(from: \"{from}\", to: \"{to}\", asOf: \"{from}\") {{ captured }}
             pipelines {{ name }}"
        ))
        .await;
    let deals = json!([{
        "name": "An engine", "status": "WON", "lead": { "id": lead.to_string() },
        "history": [{ "change": "opened" }, { "change": "won" }],
    }]);
    let expected = json!({
        "status": "CONVERTED",
        "account": { "name": "Analytical Engines", "opportunities": deals },
        "contact": { "name": "ada" },
        "opportunity": {
            "name": "An engine",
            "pipeline": { "name": "Sales", "stages": [{ "name": "First" }, { "name": "Second" }] },
            "stage": { "name": "First" },
            "amount": { "amount": "1.00" },
        },
    });
    assert_eq!(seen["lead"], expected);
    let source = json!([{ "source": "WEBSITE", "captured": 1, "qualified": 1, "converted": 1, "conversionRate": 1.0 }]);
    assert_eq!(seen["funnel"], source);
    assert_eq!(seen["before"], json!([]));
    assert_eq!(seen["pipelines"], json!([{ "name": "Sales" }]));
}
