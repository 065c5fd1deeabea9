//! Example responses for the contract.

use face::{Example, example};

use super::{ChangeResource, Changes, Deliveries, DeliveryResource, Ping, Summary, Webhook, Webhooks, WithSecret};

impl Example for Webhook {
    fn example() -> Self {
        Self {
            id: example::id(1),
            version: 2,
            service: "crm",
            url: "https://hooks.example.com/inopsio".to_owned(),
            types: vec!["crm.lead.*".to_owned()],
            description: "Tells the newsletter whom to greet".to_owned(),
            state: "enabled",
            disabled_reason: None,
            position: 1042,
            lag_events: 0,
            delivered: 618,
            attempts: 0,
            failing_since: None,
            next_attempt_at: None,
            former_secret_until: Some(example::time(24 * 60)),
            created_at: example::time(0),
            changed_at: example::time(10),
        }
    }
}

impl Example for Webhooks {
    fn example() -> Self {
        Self { webhooks: vec![Webhook::example()] }
    }
}

impl Example for Deliveries {
    fn example() -> Self {
        let delivery = DeliveryResource {
            id: example::id(3),
            webhook_id: example::id(4),
            event_type: "crm.lead.captured".to_owned(),
            position: Some(1042),
            attempt: 1,
            sent_at: example::time(60),
            duration_ms: 38,
            status: Some(204),
            error: None,
            response: String::new(),
        };
        Self { next: Some(delivery.id), deliveries: vec![delivery] }
    }
}

impl Example for Changes {
    fn example() -> Self {
        let change = |version, change: &str, detail| ChangeResource {
            version,
            actor: "ada".to_owned(),
            changed_at: example::time(10),
            change: change.to_owned(),
            detail,
        };
        let rotated = change(2, "secret_rotated", serde_json::json!({ "overlap_hours": 24 }));
        Self { changes: vec![rotated], next: Some(2) }
    }
}

impl Example for Ping {
    fn example() -> Self {
        Self { delivered: true, status: Some(204), error: None, duration_ms: 38, response: String::new() }
    }
}

impl Example for Summary {
    fn example() -> Self {
        Self { id: example::id(1), version: 3 }
    }
}

impl Example for WithSecret {
    fn example() -> Self {
        Self {
            id: example::id(1),
            version: 3,
            secret: Some("whsec_ZXhhbXBsZS1zZWNyZXQtZXhhbXBsZS1zZWNyZXQ=".to_owned()),
        }
    }
}
