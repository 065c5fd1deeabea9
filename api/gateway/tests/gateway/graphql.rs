//! GraphQL: reads what commands wrote, and refuses queries that are too expensive.

use std::fmt::Write;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{Answer, World};

fn query(world: &World, text: &str) -> reqwest::RequestBuilder {
    world.request(Method::POST, "/graphql").json(&json!({ "query": text }))
}

#[tokio::test]
async fn a_query_that_names_the_position_sees_what_was_written() {
    let world = World::start().await;
    for name in ["Ada", "Grace", "Mary"] {
        let captured = world.post("/v1/crm/leads", json!({ "name": name })).await;
        let id = captured.body["id"].as_str().unwrap();
        let request = query(&world, &format!("{{ crm {{ lead(id: \"{id}\") {{ name status }} }} }}"))
            .header("x-min-position", captured.header("x-position"));
        let answer = Answer::of(request).await;
        assert_eq!(answer.body["data"]["crm"]["lead"]["name"], name, "{answer:?}");
    }
}

#[tokio::test]
async fn a_position_that_is_not_reached_in_time_is_a_timeout_that_says_how_far_it_is() {
    let world = World::start_with(|config| config.graphql.wait_seconds = 0).await;
    let request = query(&world, "{ crm { leads { edges { node { id } } } } }").header("x-min-position", "crm=999999");
    let answer = Answer::of(request).await;
    let extensions = &answer.body["errors"][0]["extensions"];
    assert_eq!((&extensions["code"], &extensions["status"]), (&json!("read_model_behind"), &json!(504)), "{answer:?}");
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    let some = "{ __typename crm { lead(id: \"018f0000-0000-7000-8000-000000000000\") { id } } }";
    let partly = Answer::of(query(&world, some).header("x-min-position", "crm=999999")).await;
    assert_eq!((partly.status, &partly.body["data"]["__typename"]), (StatusCode::OK, &json!("Query")), "{partly:?}");
    assert_eq!(partly.body["errors"][0]["extensions"]["code"], "read_model_behind", "{partly:?}");
    let refused = |position: &str| {
        let request = query(&world, "{ __typename }").header("x-min-position", position);
        (request, StatusCode::BAD_REQUEST, "header_invalid")
    };
    world.refuses(vec![refused("crm=soon"), refused("foo=1"), refused("crm=1,crm=2"), refused("")]).await;
}

#[tokio::test]
async fn a_tenant_sees_nothing_of_another() {
    let world = World::start().await;
    let captured = world.post("/v1/crm/leads", json!({ "name": "Ada" })).await;
    let id = captured.body["id"].as_str().unwrap();
    let text = format!("{{ crm {{ lead(id: \"{id}\") {{ name }} leads {{ edges {{ node {{ id }} }} }} }} }}");
    let request = world
        .anonymous(Method::POST, "/graphql")
        .bearer_auth(world.stranger())
        .header("x-min-position", captured.header("x-position"))
        .json(&json!({ "query": text }));
    let answer = Answer::of(request).await;
    assert_eq!(answer.body["data"]["crm"], json!({ "lead": null, "leads": { "edges": [] } }), "{answer:?}");
}

#[tokio::test]
async fn bombs_are_refused_before_they_are_carried_out() {
    let world = World::start().await;
    let aliases: String = (0..100).map(|n| format!("a{n}: crm {{ __typename }} ")).collect::<Vec<_>>().concat();
    let wide: String = "crm { __typename } ".repeat(20_000);
    let deep = format!("{{ crm {{ {}__typename{} }} }}", "x { ".repeat(30), " }".repeat(30));
    let very_deep = format!("{}{}", "{ a ".repeat(5_000), "}".repeat(5_000));
    let rows = "{ crm { leads(first: 200) { edges { node { id account { contacts { id account { contacts { id account { contacts { id } } } } } } } } } } }";
    let mut fragments = String::from("{ crm { ...f0 } } ");
    for n in 0..20 {
        let next = n + 1;
        write!(fragments, "fragment f{n} on CrmQuery {{ ...f{next} ...f{next} }} ").unwrap();
    }
    fragments += "fragment f20 on CrmQuery { __typename }";
    let circle = "{ crm { ...f } } fragment f on CrmQuery { ...f }";
    let introspection =
        format!("{{ __schema {{ types {{ {} name {} }} }} }}", "fields { type { ".repeat(12), "} }".repeat(12));
    let big = json!({ "query": "{ __typename }", "variables": { "x": "y".repeat(2 << 20) } });
    let bad = StatusCode::BAD_REQUEST;
    let before = world.head().await;
    let mut cases = vec![
        (query(&world, &format!("{{ {aliases} }}")), bad, "query_too_many_aliases"),
        (query(&world, &format!("{{ {wide} }}")), bad, "query_too_large"),
        (query(&world, &deep), bad, "query_too_deep"),
        (query(&world, &very_deep), bad, "query_too_deep"),
        (query(&world, &fragments), bad, "query_too_large"),
        (query(&world, &introspection), bad, "query_too_deep"),
        (world.request(Method::POST, "/graphql").json(&big), StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        (
            world.request(Method::POST, "/graphql").json(&json!([{ "query": "{ __typename }" }])),
            bad,
            "validation_failed",
        ),
        (
            world.request(Method::POST, "/graphql").body("{ __typename }"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_type_unsupported",
        ),
    ];
    cases.push((query(&world, rows), bad, "query_too_expensive"));
    world.refuses(cases).await;
    // The refusal also has GraphQL's error list.
    let refused = Answer::of(query(&world, &deep)).await.body;
    let error = &refused["errors"][0];
    assert_eq!((&error["extensions"]["code"], &error["message"]), (&json!("query_too_deep"), &refused["detail"]));
    let circular = Answer::of(query(&world, circle)).await;
    assert!(circular.body["errors"].is_array() || circular.status == bad, "{circular:?}");
    assert_eq!(world.head().await, before);
    let after = Answer::of(query(&world, "{ __typename }")).await;
    assert_eq!(after.body["data"]["__typename"], "Query", "it still answers");
}

#[tokio::test]
async fn attack_165_fragments_that_spread_each_other_again_and_again_without_a_field_are_not_walked() {
    let world = World::start().await;
    let itself = "{ crm { ...f } } fragment f on CrmQuery { ...f ...f }";
    let each_other = "{ crm { ...f } } fragment f on CrmQuery { ...g ...g } fragment g on CrmQuery { ...f ...f }";
    let mut unknown = String::from("{ crm { ...f0 } } ");
    for n in 0..40 {
        let next = n + 1;
        write!(unknown, "fragment f{n} on CrmQuery {{ ...f{next} ...f{next} }} ").unwrap();
    }
    unknown += "fragment f40 on CrmQuery { ...nowhere }";
    let refused = |text: &str| (query(&world, text), StatusCode::BAD_REQUEST, "query_too_large");
    world.refuses(vec![refused(itself), refused(each_other), refused(&unknown)]).await;
}

#[tokio::test]
async fn a_text_with_a_nul_is_refused_by_the_name_of_its_argument() {
    let world = World::start().await;
    let list = |filter: &str| query(&world, &format!("{{ crm {{ accounts(filter: {filter}) {{ totalCount }} }} }}"));
    let by_variable = json!({
        "query": "query ($search: String) { crm { accounts(filter: { search: $search }) { totalCount } } }",
        "variables": { "search": "a\0b" },
    });
    let users = "{ user { users(filter: { search: \"a\\u0000b\" }) { totalCount } } }";
    let cases = [
        (list("{ search: \"a\\u0000b\" }"), "filter.search"),
        (query(&world, users), "filter.search"),
        (world.request(Method::POST, "/graphql").json(&by_variable), "$search"),
    ];
    for (request, argument) in cases {
        let refused = Answer::of(request).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "value_not_allowed"), "{refused:?}");
        assert_eq!(refused.body["argument"], argument, "{refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains("NUL"), "{refused:?}");
    }
    let harmless = Answer::of(list("{ search: \"a\\u0001b \\\\0\" }")).await;
    assert_eq!(harmless.body["data"]["crm"]["accounts"]["totalCount"], 0, "{harmless:?}");
}

/// A query with `levels` nested levels of an account's contacts, each with the arguments `page`.
fn nested(variables: &str, page: &str, levels: usize) -> String {
    let account = "account(id: \"018f0000-0000-7000-8000-000000000000\")";
    let open = format!("contacts{page} {{ account {{ ").repeat(levels);
    format!("query Q{variables} {{ crm {{ {account} {{ {open} id {} }} }} }}", "} }".repeat(levels))
}

#[tokio::test]
async fn lists_in_lists_are_counted_with_the_rows_that_they_can_have() {
    let world = World::start().await;
    let bad = StatusCode::BAD_REQUEST;
    let with = |text: String, variables: Value| {
        world.request(Method::POST, "/graphql").json(&json!({ "query": text, "variables": variables }))
    };
    let none = || json!({});
    world
        .refuses(vec![
            (with(nested("", "", 3), none()), bad, "query_too_expensive"),
            (with(nested("", "(first: 100)", 2), none()), bad, "query_too_expensive"),
            (with(nested("($n: Int = 100)", "(first: $n)", 2), none()), bad, "query_too_expensive"),
            (with(nested("($n: Int)", "(first: $n)", 2), json!({ "n": 100 })), bad, "query_too_expensive"),
            (with(nested("($n: Int)", "(first: $n)", 3), json!({ "n": null })), bad, "query_too_expensive"),
        ])
        .await;
    for (text, variables) in [
        (nested("", "", 2), none()),
        (nested("", "(first: 10)", 3), none()),
        (nested("($n: Int = 100)", "(first: $n)", 2), json!({ "n": 10 })),
    ] {
        let answer = Answer::of(with(text, variables)).await;
        assert_eq!(answer.body, json!({ "data": { "crm": { "account": null } } }), "{answer:?}");
    }
}

#[tokio::test]
async fn the_explorers_own_introspection_is_within_the_limits() {
    let world = World::start().await;
    let text = "query IntrospectionQuery { __schema { queryType { name } mutationType { name } subscriptionType { name } \
        types { ...FullType } directives { name description locations args { ...InputValue } } } } \
        fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name description \
        args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } inputFields { ...InputValue } \
        interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } \
        possibleTypes { ...TypeRef } } \
        fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue } \
        fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name \
        ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";
    let answer = Answer::of(query(&world, text)).await;
    assert_eq!(answer.body["errors"], Value::Null, "{}", answer.body["errors"]);
    assert_eq!(answer.body["data"]["__schema"]["queryType"]["name"], "Query", "{:?}", answer.body["code"]);
}

#[tokio::test]
async fn a_question_that_fails_is_null_and_the_others_are_answered() {
    let world = World::start().await;
    let captured = world.post("/v1/crm/leads", json!({ "name": "Ada" })).await;
    let text = "{ crm { leads { totalCount } cut: leads(after: \"nowhere\") { totalCount } none: leads(first: 0) { totalCount }
        old: leadHistory(id: \"0197a8a0-0000-7000-8000-000000000001\", afterVersion: -1) { version }
        funnel(from: \"2026-02-01T00:00:00Z\", to: \"2026-01-01T00:00:00Z\") { source } pipelines { name } }
        auth { deniedAccesses { totalCount } } user { roles { name } } }";
    let request = world.anonymous(Method::POST, "/graphql").bearer_auth(world.token(&[kernel::Role::Viewer]));
    let request = request.header("x-min-position", captured.header("x-position")).json(&json!({ "query": text }));
    let before = world.head().await;
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let crm = json!({ "leads": { "totalCount": 1 }, "cut": null, "none": null, "old": null, "funnel": null, "pipelines": [] });
    let data = json!({ "crm": crm, "auth": { "deniedAccesses": null }, "user": { "roles": [] } });
    assert_eq!(answer.body["data"], data, "{answer:?}");
    let errors = answer.body["errors"].as_array().unwrap().iter();
    let told: std::collections::BTreeSet<_> = errors
        .map(|error| {
            let path: Vec<_> = error["path"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            (path.join("."), error["extensions"]["code"].as_str().unwrap())
        })
        .collect();
    let wanted = [
        ("auth.deniedAccesses", "permission_missing"),
        ("crm.cut", "cursor_invalid"),
        ("crm.funnel", "time_backwards"),
        ("crm.none", "page_size"),
        ("crm.old", "value_not_allowed"),
    ];
    assert_eq!(told, wanted.map(|(path, code)| (path.to_owned(), code)).into());
    assert_eq!(world.head().await, before);
}

#[tokio::test]
async fn a_query_by_get_is_not_answered_with_the_page_for_people() {
    let world = World::start().await;
    let get = |path: &str, accept: &str| world.request(Method::GET, path).header("accept", accept);
    let by_get = "/graphql?query=%7B__typename%7D";
    let browsers = ["text/html,application/xhtml+xml,*/*;q=0.8", "TEXT/HTML", "text/*"];
    let pages = browsers.into_iter().flat_map(|accept| [("/graphql", accept), (by_get, accept)]);
    // Those that take anything, or do not say what, get it as well, unless they send a query.
    for (path, accept) in pages.chain([("/graphql", "*/*"), ("/graphql", "")]) {
        let page = Answer::of(get(path, accept)).await;
        assert!(page.header("content-type").starts_with("text/html"), "{path} for {accept:?}: {page:?}");
    }
    let cases = [
        ("/graphql", "application/json"),
        (by_get, "application/graphql-response+json"),
        (by_get, "*/*"),
        (by_get, ""),
    ];
    let refused = cases.map(|(path, accept)| (get(path, accept), StatusCode::NOT_ACCEPTABLE, "not_acceptable"));
    world.refuses(refused.into()).await;
}

#[tokio::test]
async fn a_query_that_is_wrong_is_answered_as_the_client_understands() {
    let world = World::start().await;
    let plain = Answer::of(query(&world, "{ nonsense }")).await;
    assert_eq!((plain.status, plain.header("content-type")), (StatusCode::OK, "application/json"));
    assert!(plain.body["errors"].is_array(), "{plain:?}");
    let request = query(&world, "{ nonsense }").header("accept", "application/graphql-response+json");
    let envelope = Answer::of(request).await;
    assert_eq!(envelope.status, StatusCode::BAD_REQUEST);
    assert_eq!(envelope.header("content-type"), "application/graphql-response+json");
    for (body, code) in [
        (json!({ "query": "{" }), "query_malformed"),
        (json!({ "query": "{ nonsense }" }), "query_invalid"),
        (json!({ "query": "query($n: Int!) { crm { leads(first: $n) { edges { cursor } } } }" }), "query_invalid"),
        (json!({ "query": "query a { __typename } query b { __typename }" }), "operation_ambiguous"),
        (json!({ "query": "query a { __typename }", "operationName": "b" }), "operation_unknown"),
        (json!({ "query": "mutation { x }" }), "operation_unsupported"),
        (json!({ "query": "subscription { crm { leadChanged { leadId } } }" }), "operation_unsupported"),
    ] {
        let answer = Answer::of(world.request(Method::POST, "/graphql").json(&body)).await;
        assert_eq!(answer.body["errors"][0]["extensions"]["code"], code, "{body} got {answer:?}");
        assert_eq!(answer.body.get("data"), None, "{answer:?}");
    }
}

#[tokio::test]
async fn a_request_has_the_members_of_graphql_over_http_and_no_others() {
    let world = World::start().await;
    let with = |members: Value| {
        let mut body = json!({ "query": "{ __typename }" });
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        world.request(Method::POST, "/graphql").json(&body)
    };
    for (members, pointer) in [
        (json!({ "variabels": {} }), "/variabels"),
        (json!({ "variables": [1] }), "/variables"),
        (json!({ "variables": "x" }), "/variables"),
        (json!({ "operationName": 7 }), "/operationName"),
        (json!({ "extensions": [] }), "/extensions"),
        (json!({ "query": 7 }), "/query"),
    ] {
        let refused = Answer::of(with(members)).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "validation_failed"), "{refused:?}");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{refused:?}");
    }
    let all = json!({ "variables": null, "operationName": null, "extensions": { "persistedQuery": {} } });
    assert_eq!(Answer::of(with(all)).await.body, json!({ "data": { "__typename": "Query" } }));
    let unnamed = json!({ "query": "query a { __typename }", "operationName": "" });
    assert_eq!(Answer::of(with(unnamed)).await.body, json!({ "data": { "__typename": "Query" } }));
}

#[tokio::test]
async fn whoever_sends_the_hash_of_a_query_is_told_to_send_the_query() {
    let world = World::start().await;
    let ask = async |body: &Value| {
        let accepted = "application/graphql-response+json,application/json;q=0.9";
        Answer::of(world.request(Method::POST, "/graphql").header("accept", accepted).json(body)).await
    };
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": "ab".repeat(32) } });
    let mut body = json!({ "operationName": "a", "variables": {}, "extensions": extensions });
    let answer = ask(&body).await;
    let error = json!({
        "message": "PersistedQueryNotSupported",
        "extensions": { "code": "PERSISTED_QUERY_NOT_SUPPORTED" },
    });
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"), "{answer:?}");
    assert_eq!(answer.body, json!({ "errors": [error] }));
    body["query"] = "query a { __typename }".into();
    assert_eq!(ask(&body).await.body, json!({ "data": { "__typename": "Query" } }));
    let neither = ask(&json!({ "operationName": "a", "extensions": {} })).await;
    assert_eq!((neither.status, &neither.body["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/query")));
}

#[tokio::test]
async fn ids_days_and_times_have_one_form_and_are_refused_in_the_words_of_rest() {
    let world = World::start().await;
    let with = |text: &str, variables: Value| {
        world.request(Method::POST, "/graphql").json(&json!({ "query": text, "variables": variables }))
    };
    let lead = |id: &str| with(&format!("{{ crm {{ lead(id: \"{id}\") {{ id }} }} }}"), json!({}));
    let id = "0197a8a0-0000-7000-8000-000000000001";
    let (ids, days) = ("an id is a UUID with hyphens", "a day has the form YYYY-MM-DD");
    let times = "a time has the form of RFC 3339";
    let by_variable = "query($id: UUID!) { crm { lead(id: $id) { id } } }";
    let by_default = "query($id: UUID! = \"7\") { crm { lead(id: $id) { id } } }";
    let by_filter = "query($f: OpportunityFilter) { crm { opportunities(filter: $f) { nodes { id } } } }";
    let deals = |filter: &str| {
        with(&format!("{{ crm {{ opportunities(filter: {filter}) {{ nodes {{ id }} }} }} }}"), json!({}))
    };
    let in_fragment = "{ crm { ...f } } fragment f on CrmQuery { ... on CrmQuery { lead(id: \"7\") { id } } }";
    let since = |time: &str| {
        with(&format!("{{ crm {{ leads(filter: {{ capturedFrom: \"{time}\" }}) {{ nodes {{ id }} }} }} }}"), json!({}))
    };
    for (request, argument, allowed) in [
        (lead("7"), "id", ids),
        (lead(&id.replace('-', "")), "id", ids),
        (lead(&format!("{{{id}}}")), "id", ids),
        (lead(&format!("urn:uuid:{id}")), "id", ids),
        (with(by_variable, json!({ "id": id.replace('-', "") })), "$id", ids),
        (with(by_variable, json!({ "id": 7 })), "$id", ids),
        (with(by_default, json!({})), "$id", ids),
        (with(by_default, json!({ "id": id })), "$id", ids),
        (with(in_fragment, json!({})), "id", ids),
        (with("{ events { webhook(id: \"7\") { id } } }", json!({})), "id", ids),
        (deals("{ closeFrom: \"2026-2-3\" }"), "filter.closeFrom", days),
        (deals("{ closeBefore: \"2026-02-30\" }"), "filter.closeBefore", days),
        (deals(&format!("{{ stageIds: [\"{id}\", \"{{{id}}}\"] }}")), "filter.stageIds", ids),
        (with(by_filter, json!({ "f": { "closeFrom": "+2026-02-03" } })), "$f.closeFrom", days),
        (since("2026-07-01"), "filter.capturedFrom", times),
        (since("2026-7-1T09:30:00Z"), "filter.capturedFrom", times),
        (since("2026-07-01T09:30:00"), "filter.capturedFrom", times),
        (since("2026-07-01 09:30:00Z"), "filter.capturedFrom", times),
    ] {
        let refused = Answer::of(request).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "value_not_allowed"), "{refused:?}");
        assert_eq!(refused.body["argument"], argument, "{refused:?}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("{argument}: ")) && detail.contains(allowed), "{detail}");
    }
    for request in [
        lead(&id.to_uppercase()),
        with(by_variable, json!({ "id": id })),
        with(by_filter, json!({ "f": { "closeFrom": "2026-02-03", "accountId": null } })),
        since("2026-07-01T11:30:00.123456+02:00"),
    ] {
        let taken = Answer::of(request).await;
        assert_eq!((taken.status, &taken.body["errors"]), (StatusCode::OK, &Value::Null), "{taken:?}");
    }
}

#[tokio::test]
async fn a_page_says_whether_rows_come_before_and_after_and_where_it_begins_and_ends() {
    let world = World::start().await;
    for name in ["Ada", "Grace", "Katherine"] {
        world.lead(name).await;
    }
    let page = async |after: &str| {
        let page_info = "pageInfo { hasPreviousPage startCursor hasNextPage endCursor }";
        let query = format!("{{ crm {{ leads(first: 2{after}) {{ edges {{ cursor }} {page_info} }} }} }}");
        let answer = world.post("/graphql", json!({ "query": query })).await;
        answer.body["data"]["crm"]["leads"].clone()
    };
    testbed::eventually("the leads are listed", async || {
        (page("").await["pageInfo"]["hasNextPage"] == true).then_some(())
    })
    .await;
    let first = page("").await;
    let cursor = |page: &Value, at: usize| page["edges"][at]["cursor"].clone();
    let info = json!({ "hasPreviousPage": false, "startCursor": cursor(&first, 0), "hasNextPage": true, "endCursor": cursor(&first, 1) });
    assert_eq!(first["pageInfo"], info, "{first}");
    let last = page(&format!(", after: {}", cursor(&first, 1))).await;
    let info = json!({ "hasPreviousPage": true, "startCursor": cursor(&last, 0), "hasNextPage": false, "endCursor": cursor(&last, 0) });
    assert_eq!(last["pageInfo"], info, "{last}");
}

#[tokio::test]
async fn every_key_of_a_machine_can_be_listed_page_by_page() {
    let world = World::start().await;
    let machine = world.post("/v1/auth/machines", json!({ "name": "sensor", "roles": ["member"] })).await;
    let machine = machine.body["id"].clone();
    let mut issued = Vec::new();
    let (mut position, mut secret) = (String::new(), String::new());
    for name in ["a", "b", "c"] {
        let key = world.post("/v1/auth/api-keys", json!({ "machine": machine, "name": name })).await;
        assert_eq!(key.status, StatusCode::CREATED, "{key:?}");
        issued.insert(0, key.body["id"].clone());
        key.header("x-position").clone_into(&mut position);
        key.body["secret"].as_str().unwrap().clone_into(&mut secret);
    }
    let ask = async |arguments: &str| {
        let asked = format!(
            "{{ auth {{ machine(id: {machine}) {{ apiKeys({arguments}) {{
                 totalCount nodes {{ id }} pageInfo {{ hasPreviousPage hasNextPage endCursor }} }} }} }} }}"
        );
        let request = world.request(Method::POST, "/graphql").header("x-min-position", &position);
        Answer::of(request.json(&json!({ "query": asked }))).await
    };
    let (mut listed, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let answer = ask(&format!("first: 2{after}")).await;
        let page = &answer.body["data"]["auth"]["machine"]["apiKeys"];
        assert_eq!(
            (&page["totalCount"], &page["pageInfo"]["hasPreviousPage"]),
            (&json!(3), &json!(pages > 0)),
            "{page}"
        );
        listed.extend(page["nodes"].as_array().unwrap().iter().map(|key| key["id"].clone()));
        pages += 1;
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = format!(", after: {}", page["pageInfo"]["endCursor"]);
    }
    assert_eq!((listed, pages), (issued.clone(), 2));
    // A request with the id of a key but another secret is recorded, with a reason that the schema lists.
    let at = secret.len() - 10;
    let another = if &secret[at..=at] == "A" { "B" } else { "A" };
    secret.replace_range(at..=at, another);
    let refused = Answer::of(world.anonymous(Method::GET, "/v1/user/permissions").bearer_auth(&secret)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{refused:?}");
    testbed::eventually("the refusal is noted", async || {
        let asked = format!("{{ auth {{ machine(id: {machine}) {{ apiKeys {{ nodes {{ id lastRefusal }} }} }} }} }}");
        let answer = world.post("/graphql", json!({ "query": asked })).await;
        let newest = &answer.body["data"]["auth"]["machine"]["apiKeys"]["nodes"][0];
        assert_eq!(newest["id"], issued[0], "{answer:?}");
        (newest["lastRefusal"] == "SECRET_WRONG").then_some(())
    })
    .await;
    // An id, which was accepted formerly, is not a cursor any more; nor is a cursor of another list.
    let others = Answer::of(world.request(Method::POST, "/graphql").json(&json!({
        "query": "{ auth { machines { pageInfo { endCursor } } } }"
    })))
    .await;
    let others = &others.body["data"]["auth"]["machines"]["pageInfo"]["endCursor"];
    for cursor in [&issued[0], others] {
        let refused = ask(&format!("after: {cursor}")).await;
        assert_eq!(refused.body["errors"][0]["extensions"]["code"], "cursor_invalid", "{cursor}: {refused:?}");
    }
}
