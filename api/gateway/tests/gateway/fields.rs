//! Every field of every GraphQL type, and every subscription, as an anonymous client, as each role, as another tenant, and with only the
//! needed permissions. A handwritten table lists what each needs; a field that is missing in it fails the test.

use std::collections::BTreeSet;

use kernel::Role;
use serde_json::{Value, json};

use crate::needs::{QUESTIONS, grants, may};
use crate::sample_tenant::{SELLER, SampleTenant};
use crate::schema::{Question, Schema, named};
use crate::websocket::Socket;

/// A field that needs a permission of its own, and the permission.
type Own = (&'static str, &'static str);

/// For each type: the fields that need no permission of their own, and those that need one, whatever path leads to them. (All connections
/// have the same form.)
const TYPES: &[(&str, &str, &[Own])] = &[
    ("AccessChange", "userId gained lost", &[("user", "user:user:read")]),
    ("AccessChangePage", "changes endCursor", &[]),
    ("AccessEvent", "eventType about position occurredAt recordedAt", &[]),
    (
        "Account",
        "id version name website industry country employees owner createdAt changedAt",
        &[("contacts", "crm:contact:read"), ("opportunities", "crm:opportunity:read"), ("lead", "crm:lead:read")],
    ),
    ("AccountChange", "version change actor owner valid known", &[]),
    ("ApiKey", "id name scopes createdAt expiresAt lastUsedAt lastRefusedAt lastRefusal revokedAt", &[]),
    ("Client", "id version name confidential trusted redirectUris hasSecret keys active createdAt changedAt", &[]),
    (
        "Contact",
        "id version name title email phone address owner createdAt changedAt erasedAt",
        &[("account", "crm:account:read"), ("lead", "crm:lead:read")],
    ),
    ("ContactChange", "version change actor accountId owner valid known", &[]),
    (
        "DeadLetter",
        "service id consumer position aggregateType aggregateId eventType state attempts errors nextAttemptAt parkedAt changedAt waiting event attemptsMade decisions",
        &[],
    ),
    ("DeadLetterAttempt", "nth at errors", &[]),
    ("DeadLetterDecision", "kind actor reason decidedAt before after", &[]),
    ("DeadLetterEvent", "id sequence version payload metadata occurredAt recordedAt", &[]),
    ("DealState", "stageId status amount closeDate owner", &[]),
    ("DeniedAccess", "id subject reason permission operation requestId at times lastAt address agent origin", &[]),
    ("Domain", "id version domain status record claimedAt verifiedAt missingSince", &[]),
    ("DomainRecord", "name value", &[]),
    (
        "FunnelOfSource",
        "source captured assigned inProcess qualified converted disqualified conversionRate medianDaysToQualify medianDaysToConvert",
        &[],
    ),
    (
        "Invitation",
        "id version status email name roles invitedBy sentAt expiresAt",
        &[("user", "user:user:read")],
    ),
    (
        "Job",
        "service id kind queue state arguments actor runAt attempt maxAttempts done total result code reason batch schedule slot cancelRequestedAt
         createdAt startedAt finishedAt log",
        &[],
    ),
    ("JobBatch", "service id actor total completed cancelled discarded then createdAt finishedAt", &[]),
    ("JobLogLine", "at attempt message", &[]),
    ("JobQueue", "service name pausedAt concurrency rateCount rateSeconds waiting running", &[]),
    ("JobSchedule", "service id kind arguments actor cron timeZone overlap paused next lastAt lastJob skipped", &[]),
    (
        "Lead",
        "id version name company title email phone country address source status reason owner importId capturedAt qualifiedAt convertedAt changedAt",
        &[("account", "crm:account:read"), ("contact", "crm:contact:read"), ("opportunity", "crm:opportunity:read")],
    ),
    ("LeadChange", "version change actor status owner note valid known", &[]),
    ("LeadEvent", "leadId version change position occurredAt recordedAt", &[("lead", "crm:lead:read")]),
    ("LineItem", "name quantity unitPrice", &[]),
    ("Machine", "id version name roles hasSecret keys active createdAt changedAt apiKeys", &[]),
    ("Money", "minor currency amount", &[]),
    ("MovedDeal", "opportunityId name kinds before after", &[("opportunity", "crm:opportunity:read")]),
    ("MovementTotal", "kind count total difference", &[]),
    (
        "Opportunity",
        "id version name status amount lineItems closeDate owner lostReason openedAt stageSince closedAt changedAt",
        &[
            ("pipeline", "crm:pipeline:read"),
            ("stage", "crm:pipeline:read"),
            ("account", "crm:account:read"),
            ("contact", "crm:contact:read"),
            ("lead", "crm:lead:read"),
            ("history", "crm:history:read"),
        ],
    ),
    ("OpportunityChange", "version change status amount closeDate stageId owner valid known", &[]),
    (
        "Organization",
        "id version name closed createdAt",
        &[("parent", "user:organization:read"), ("members", "user:user:read")],
    ),
    ("PageInfo", "hasNextPage hasPreviousPage startCursor endCursor", &[]),
    ("Period", "from to", &[]),
    ("Pipeline", "id version name stages", &[]),
    // A board contains the names of its stages.
    (
        "PipelineBoard",
        "pipelineId name asOf knownAt baseCurrency stages count rotten total weighted unconverted",
        &[],
    ),
    ("PipelineBoardStage", "stage count rotten sums total weighted", &[]),
    ("PipelineMovement", "totals deals", &[]),
    ("PolicyDryRun", "services refused examined otherwise unrecorded endCursor", &[]),
    ("PolicyEventCount", "event commands", &[]),
    ("PostalAddress", "street locality region postalCode country", &[]),
    ("RefusedCommands", "subject permission commands firstAt lastAt events", &[("user", "user:user:read")]),
    ("RefusedSignIn", "id reason at address agent origin", &[]),
    ("Role", "name title version permissions includes retired definedAt changedAt", &[]),
    ("SamlConnection", "id version name entityId domains active createdAt changedAt", &[]),
    ("SignInSession", "id methods address agent startedAt confirmedAt lastUsedAt expiresAt endedAt endReason", &[]),
    ("Stage", "id name probability rottenAfterDays retired", &[]),
    (
        "User",
        "id version status name givenName familyName title email emailVerified userName phone phoneVerified address picture locale timeZone roles registeredAt
         changedAt",
        &[("groups", "user:group:read"), ("organizations", "user:organization:read"), ("access", "user:access:read")],
    ),
    ("UserAccess", "roles permissions", &[]),
    ("UserChange", "version change actor status roles valid known", &[]),
    ("UserEvent", "userId version change position occurredAt recordedAt", &[("user", "user:user:read")]),
    ("UserGroup", "id version name roles dissolved createdAt", &[("members", "user:user:read")]),
    ("UserPermission", "name by", &[]),
    (
        "Webhook",
        "id version service url types description state disabledReason position lagEvents delivered attempts failingSince nextAttemptAt
         createdAt changedAt deliveries",
        &[],
    ),
    ("WebhookDelivery", "id webhookId eventType position attempt sentAt durationMs status error response", &[]),
];

/// Each subscription, and the permission that it needs.
const SUBSCRIPTIONS: &[(&str, &str)] = &[
    ("crm.leadChanged", "crm:lead:read"),
    ("user.userChanged", "user:user:read"),
    ("auth.accessChanged", "auth:history:read"),
];

/// Permissions that fields need in addition to those in [`QUESTIONS`]: whoever may see an event may see its subject, and the history.
const BESIDES: &[(&str, &str)] = &[
    ("crm.leadHistory", "crm:lead:read"),
    ("crm.leadStanding", "crm:lead:read"),
    ("crm.contactHistory", "crm:contact:read"),
    ("crm.accountHistory", "crm:account:read"),
    ("user.userHistory", "user:user:read"),
    // A dry run examines the services whose history one may read, and is refused to who may read none.
    ("user.policyDryRun", "crm:history:read"),
];

/// The fields of a type in the table.
fn listed(of: &str) -> (Vec<&'static str>, &'static [Own]) {
    match TYPES.iter().find(|(name, ..)| *name == of) {
        Some((_, fields, apart)) => (fields.split_whitespace().collect(), apart),
        None if of.ends_with("Connection") => (vec!["edges", "nodes", "pageInfo", "totalCount"], &[]),
        None if of.ends_with("Edge") => (vec!["cursor", "node"], &[]),
        None => panic!("{of} is not in TYPES: say there who may see which of its fields"),
    }
}

/// A field that needs a permission of its own, and a path to it.
struct Apart {
    of: &'static str,
    field: &'static str,
    needs: &'static str,
    /// The query, with `@` in the place of the field.
    text: String,
    /// The names of the fields on the path.
    path: Vec<String>,
    /// Its selection set.
    selected: String,
}

/// A walk through the types of a schema.
struct Walk<'s> {
    schema: &'s Schema,
    /// The types that were reached.
    seen: BTreeSet<String>,
}

impl Walk<'_> {
    /// The selection of all fields of a type that need no permission of their own. `way` is the path to the type; fields that need one are
    /// recorded.
    fn come(&mut self, of: &str, mut way: Option<(&str, &[String], &mut Vec<Apart>)>) -> String {
        self.seen.insert(of.to_owned());
        let (plain, apart) = listed(of);
        let has: BTreeSet<&str> = self.schema.fields(of).iter().map(|field| field["name"].as_str().unwrap()).collect();
        let says = plain.iter().copied().chain(apart.iter().map(|(field, _)| *field)).collect();
        assert_eq!(has, says, "what {of} has, and what TYPES says of it: say there who may see what");
        if let Some((text, path, found)) = &mut way {
            let name = TYPES.iter().find(|(name, ..)| *name == of).map_or("", |(name, ..)| *name);
            for (field, needs) in apart {
                let selected = self.selected(of, field, None);
                found.push(Apart { of: name, field, needs, text: (*text).to_owned(), path: path.to_vec(), selected });
            }
        }
        let mut all = Vec::new();
        for field in plain {
            // An edge's node has the same fields as the page's nodes.
            let selected = if of.ends_with("Edge") && field == "node" {
                "{ __typename }".to_owned()
            } else if let Some((text, path, found)) = &mut way {
                let text = text.replace('@', &format!("{field} {{ @ }}"));
                let path: Vec<_> = path.iter().cloned().chain([field.to_owned()]).collect();
                self.selected(of, field, Some((&text, &path, found)))
            } else {
                self.selected(of, field, None)
            };
            all.push(format!("{field} {selected}"));
        }
        all.join(" ")
    }

    /// The selection set of a field; empty for a scalar.
    fn selected(&mut self, of: &str, field: &str, way: Option<(&str, &[String], &mut Vec<Apart>)>) -> String {
        let found = self.schema.fields(of).iter().find(|one| one["name"] == field);
        let ty = named(&found.unwrap_or_else(|| panic!("{of} has no {field}"))["type"]).to_owned();
        if self.schema.fields(&ty).is_empty() {
            return String::new();
        }
        format!("{{ {} }}", self.come(&ty, way))
    }
}

/// Whether a path leads to a value, through lists and objects.
fn reached(data: &Value, path: &[&str]) -> bool {
    match (data, path) {
        (Value::Null, _) => false,
        (Value::Array(items), _) => items.iter().any(|item| reached(item, path)),
        (Value::Object(page), []) if page.contains_key("nodes") => reached(data, &["nodes"]),
        (_, []) => true,
        (_, [first, rest @ ..]) => reached(&data[*first], rest),
    }
}

/// The permissions in the tables.
fn permissions() -> BTreeSet<&'static str> {
    let questions = QUESTIONS.iter().chain(SUBSCRIPTIONS).chain(BESIDES).map(|(_, needs)| *needs);
    let fields = TYPES.iter().flat_map(|(_, _, apart)| apart.iter().map(|(_, needs)| *needs));
    questions.chain(fields).filter(|needs| !needs.is_empty()).collect()
}

/// Arguments with which a query field returns something. A field is named after the resource whose `id` it takes: `lead`, `leadHistory`.
fn given(sample: &SampleTenant, question: &str, argument: &str) -> Option<String> {
    let name = match (question, argument) {
        ("user.policyDryRun", "change") => {
            return Some(format!("{{ roles: [{{ name: \"{SELLER}\", permissions: [] }}] }}"));
        }
        // A dead letter is no resource of a tenant's own making.
        ("deadLetters.letter", _) => return None,
        (_, "userId") => "user",
        (_, "pipelineId") => "pipeline",
        (question, "id") => {
            let name = question.rsplit('.').next().unwrap_or_default();
            name.strip_suffix("History").or(name.strip_suffix("Standing")).unwrap_or(name)
        }
        _ => return None,
    };
    let id = sample.ids.get(name);
    let id = id.unwrap_or_else(|| {
        panic!("{question} shows a {name}: make one in sample_tenant.rs, or say here what it takes")
    });
    Some(format!("\"{id}\""))
}

/// The permission that a query field needs.
fn needs(question: &str) -> Vec<&'static str> {
    let of = QUESTIONS.iter().chain(BESIDES).chain(SUBSCRIPTIONS);
    of.filter(|(name, _)| *name == question).map(|(_, needs)| *needs).collect()
}

/// The refusals among the errors: their paths, and the missing permissions.
fn refusals(answer: &Value) -> BTreeSet<(String, String)> {
    let errors = answer["errors"].as_array().cloned().unwrap_or_default();
    let refused = |error: &Value| {
        assert_eq!(error["extensions"]["code"], "permission_missing", "{answer}");
        let place = error["path"].as_array().and_then(|path| path.iter().rev().find_map(Value::as_str));
        (place.unwrap_or_default().to_owned(), error["extensions"]["permission"].as_str().unwrap().to_owned())
    };
    errors.iter().map(refused).collect()
}

#[tokio::test]
async fn every_field_is_shown_to_whom_the_table_says_and_to_nobody_else() {
    let sample = Box::pin(SampleTenant::build(permissions())).await;
    let schema = Schema::of(&sample.world).await;
    let questions = schema.questions("queryType", |question, argument| given(&sample, question, argument));
    let (grants, stranger) = (grants(), sample.world.stranger());
    let is_ours = |seen: &Value| sample.ids.values().any(|id| seen["data"].to_string().contains(id));
    let mut walk = Walk { schema: &schema, seen: BTreeSet::new() };
    let mut shown = BTreeSet::new();
    for Question { name, text, of } in questions {
        let start: Vec<String> = name.split('.').map(str::to_owned).collect();
        let mut aparts = Vec::new();
        let all = text.replace('@', &walk.come(&of, Some((&text, &start, &mut aparts))));
        // Whoever has the permission of the query field sees all of these; another tenant sees nothing of ours.
        let road = needs(&name);
        let answer = sample.ask(&sample.may(road.iter().copied()), &all).await;
        assert_eq!(refusals(&answer), BTreeSet::new(), "{name} as who may {road:?}");
        let seen = sample.ask(&stranger, &all).await;
        assert!(seen["errors"].is_null() && !is_ours(&seen), "{name} as another tenant: {seen}");
        for Apart { of, field, needs, text, path, selected } in aparts {
            let asked = text.replace('@', &format!("{field} {selected}"));
            let whole: Vec<&str> = path.iter().map(String::as_str).chain([field]).collect();
            let place = whole.join(".");
            let answer = sample.ask(&sample.may(road.iter().copied().chain([needs])), &asked).await;
            assert_eq!(refusals(&answer), BTreeSet::new(), "{place} as who may {road:?} and {needs}");
            // A field without a value can't be checked.
            if !reached(&answer["data"], &whole) {
                continue;
            }
            shown.insert((of, field));
            let refused = BTreeSet::from([(field.to_owned(), needs.to_owned())]);
            if !road.contains(&needs) {
                let answer = sample.ask(&sample.may(road.iter().copied()), &asked).await;
                assert_eq!(refusals(&answer), refused, "{place} as who may {road:?}");
                assert!(!reached(&answer["data"], &whole), "{place} as who may {road:?}: {answer}");
            }
            for role in Role::ALL.into_iter().filter(|role| road.iter().all(|needs| may(&grants, *role, needs))) {
                let answer = sample.ask(&sample.world.token(&[role]), &asked).await;
                let expected = if may(&grants, role, needs) { BTreeSet::new() } else { refused.clone() };
                assert_eq!(refusals(&answer), expected, "{place} as {role}");
            }
            let seen = sample.ask(&stranger, &asked).await;
            assert!(seen["errors"].is_null() && !is_ours(&seen), "{place} as another tenant: {seen}");
        }
    }
    let apart = TYPES.iter().flat_map(|(of, _, apart)| apart.iter().map(|(field, _)| (*of, *field)));
    let unshown: Vec<_> = apart.filter(|one| !one.0.ends_with("Event") && !shown.contains(one)).collect();
    assert!(unshown.is_empty(), "the sample has none of these to show, so nothing is known of them: {unshown:?}");
    for Question { of, .. } in schema.questions("subscriptionType", |_, _| None) {
        walk.come(&of, None);
    }
    let roots = |name: &str| name.starts_with("__") || name.ends_with("Query") || name.ends_with("Subscription");
    let unseen: Vec<_> = schema.objects().filter(|name| !roots(name) && !walk.seen.contains(*name)).collect();
    assert!(unseen.is_empty(), "no question leads to {unseen:?}");
    let gone: Vec<_> = TYPES.iter().map(|(of, ..)| of).filter(|of| !walk.seen.contains(**of)).collect();
    assert!(gone.is_empty(), "TYPES lists what GraphQL does not have: {gone:?}");
}

#[tokio::test]
async fn every_subscription_is_carried_out_for_whom_the_table_says_and_for_nobody_else() {
    let sample = Box::pin(SampleTenant::build(permissions())).await;
    let schema = Schema::of(&sample.world).await;
    let (grants, mut walk) = (grants(), Walk { schema: &schema, seen: BTreeSet::new() });
    let mut left: BTreeSet<&str> = SUBSCRIPTIONS.iter().map(|(name, _)| *name).collect();
    for Question { name, text, of } in schema.questions("subscriptionType", |_, _| None) {
        assert!(left.remove(&*name), "{name} is not in SUBSCRIPTIONS: say there which permission it needs");
        let needs = needs(&name)[0];
        let (mut aparts, path) = (Vec::new(), Vec::new());
        let plain = walk.come(&of, Some((&text, &path, &mut aparts)));
        let fields = aparts.iter().map(|apart| format!("{} {}", apart.field, apart.selected));
        let asked = text.replace('@', &fields.chain([plain]).collect::<Vec<_>>().join(" "));
        let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": asked } });
        let begin = async |token: &str| {
            let mut socket = Socket::open(&sample.world).await;
            socket.init(token).await;
            socket.say(subscribe.clone()).await;
            socket
        };
        let may_all = sample.may(aparts.iter().map(|apart| apart.needs).chain([needs]));
        let mut allowed = vec![begin(&may_all).await];
        for role in Role::ALL {
            let mut socket = begin(&sample.world.token(&[role])).await;
            if may(&grants, role, needs) {
                allowed.push(socket);
            } else {
                let heard = socket.hear().await.to_string();
                assert!(heard.contains("permission_missing") && heard.contains(needs), "{name} as {role}: {heard}");
            }
        }
        let heard = begin(&sample.may([])).await.hear().await.to_string();
        assert!(heard.contains("permission_missing") && heard.contains(needs), "{name} without any role: {heard}");
        let mut theirs = begin(&sample.world.stranger()).await;
        for (number, socket) in allowed.iter_mut().enumerate() {
            let heard = sample.happens(socket).await;
            let data = &heard["payload"]["data"];
            let whole: Vec<&str> = name.split('.').collect();
            assert!(heard["payload"]["errors"].is_null() && reached(data, &whole), "{name}, {number}: {heard}");
        }
        // The other tenant's connection works, and receives nothing but the answer to its ping.
        theirs.say(json!({ "type": "ping" })).await;
        assert_eq!(theirs.hear().await, json!({ "type": "pong" }), "{name} as another tenant");
    }
    assert!(left.is_empty(), "SUBSCRIPTIONS lists what GraphQL does not have: {left:?}");
    let mut nobody = Socket::open(&sample.world).await;
    nobody.say(json!({ "type": "connection_init" })).await;
    assert_eq!(nobody.hear().await, json!({ "closed": 4403 }), "without a token");
}
