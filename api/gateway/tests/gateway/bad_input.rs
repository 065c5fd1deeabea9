//! Bad input: each kind gets a problem document with its own code, and the log does not change.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::world::{Answer, World};

const BAD: StatusCode = StatusCode::BAD_REQUEST;

fn raw(world: &World, body: impl Into<reqwest::Body>) -> RequestBuilder {
    world.request(Method::POST, "/v1/crm/leads").header("content-type", "application/json").body(body)
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let world = World::start().await;
    let deep = format!("{{\"name\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let deep_unknown = format!("{{\"name\":\"a\",\"x\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    world
        .refuses(vec![
            (raw(&world, "{\"name\": "), BAD, "json_malformed"),
            (raw(&world, "{'name': 'Ada'}"), BAD, "json_malformed"),
            (raw(&world, "{\"name\":\"Ada\"}{}"), BAD, "json_malformed"),
            (raw(&world, "{\"name\":\"a\nb\"}"), BAD, "json_malformed"),
            (raw(&world, "{\"name\":\"\\ud800\"}"), BAD, "json_malformed"),
            (raw(&world, b"{\"name\":\"\xff\xfe\"}".to_vec()), BAD, "invalid_utf8"),
            (raw(&world, b"\xff\xfe{\0}\0".to_vec()), BAD, "invalid_utf8"),
            (raw(&world, deep), BAD, "validation_failed"),
            (raw(&world, deep_unknown), BAD, "validation_failed"),
            (raw(&world, "null"), BAD, "validation_failed"),
            (raw(&world, "[]"), BAD, "validation_failed"),
            (raw(&world, ""), BAD, "validation_failed"),
        ])
        .await;
}

#[tokio::test]
async fn attack_226_a_refusal_is_no_longer_for_a_list_of_very_many_wrong_values() {
    let world = World::start().await;
    let before = world.head().await;
    let body = json!({ "name": "billing", "roles": vec![""; 200_000] });
    let refused = Answer::of(world.request(Method::POST, "/v1/auth/machines").json(&body)).await;
    assert_eq!((refused.status, refused.code()), (BAD, "validation_failed"));
    refused.assert_problem();
    let errors = refused.body["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[0]["code"], &errors[1]["code"]), (100, &json!("too_many"), &json!("role_name")));
    assert_eq!(world.head().await, before, "a refusal writes nothing");
}

#[tokio::test]
async fn values_that_are_not_allowed_are_named_by_their_pointers() {
    let world = World::start().await;
    let cases: Vec<(Value, &str, &str)> = vec![
        (json!({}), "/name", "missing_field"),
        (json!({ "name": 7 }), "/name", "wrong_type"),
        (json!({ "name": null }), "/name", "wrong_type"),
        (json!({ "name": "Ada", "colour": "red" }), "/colour", "unknown_field"),
        (json!({ "name": "Ada", "source": "telepathy" }), "/source", "unknown_value"),
        (json!({ "name": "" }), "/name", "empty"),
        (json!({ "name": "x".repeat(201) }), "/name", "length"),
        (json!({ "name": "x".repeat(300_000) }), "/name", "length"),
        (json!({ "name": "Ada\u{0}" }), "/name", "control_character"),
        (json!({ "name": "Ada\u{1b}[31m" }), "/name", "control_character"),
        (json!({ "name": "\u{200b}\u{200b}" }), "/name", "control_character"),
        (json!({ "name": "Ada \u{202e}gnp.exe" }), "/name", "control_character"),
        (json!({ "name": "\u{200d}" }), "/name", "empty"),
        (json!({ "name": "Ada", "email": "not one" }), "/email", "email"),
        (json!({ "name": "Ada", "email": "a@b.c\u{0}" }), "/email", "email"),
        (json!({ "name": "Ada", "phone": "030 12" }), "/phone", "phone"),
        (json!({ "name": "Ada", "country": "Germany" }), "/country", "country"),
        (json!({ "name": "Ada", "address": "1 Main Street" }), "/address", "wrong_type"),
        (json!({ "name": "Ada", "address": ["1 Main Street"] }), "/address", "wrong_type"),
        (json!({ "name": "Ada", "address": {} }), "/address", "empty"),
        (json!({ "name": "Ada", "address": { "street": null } }), "/address", "empty"),
        (json!({ "name": "Ada", "address": { "city": "London" } }), "/address/city", "unknown_field"),
        (json!({ "name": "Ada", "address": { "street": 1 } }), "/address/street", "wrong_type"),
        (json!({ "name": "Ada", "address": { "street": "x".repeat(301) } }), "/address/street", "length"),
        (json!({ "name": "Ada", "address": { "locality": "two\nlines" } }), "/address/locality", "control_character"),
        (json!({ "name": "Ada", "address": { "region": " " } }), "/address/region", "empty"),
        (
            json!({ "name": "Ada", "address": { "postal_code": "\u{202e}" } }),
            "/address/postal_code",
            "control_character",
        ),
        (json!({ "name": "Ada", "address": { "country": "Germany" } }), "/address/country", "country"),
    ];
    let before = world.head().await;
    for (body, pointer, code) in cases {
        let shown: String = body.to_string().chars().take(100).collect();
        // A contact's address has the same form as a lead's.
        if body.get("address").is_some() {
            let answer = world.post("/v1/crm/contacts", body.clone()).await;
            assert_eq!((answer.status, answer.code()), (BAD, "validation_failed"), "{shown} got {answer:?}");
            assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{shown} got {answer:?}");
            assert_eq!(answer.body["errors"][0]["code"], code, "{shown} got {answer:?}");
        }
        let answer = world.post("/v1/crm/leads", body).await;
        assert_eq!((answer.status, answer.code()), (BAD, "validation_failed"), "{shown} got {answer:?}");
        answer.assert_problem();
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{shown} got {answer:?}");
        assert_eq!(answer.body["errors"][0]["code"], code, "{shown} got {answer:?}");
    }
    assert_eq!(world.head().await, before);
}

#[tokio::test]
async fn a_body_of_another_type_or_size_is_refused_before_it_is_read() {
    let world = World::start_with(|config| config.http.body_limit = 10_000).await;
    let typed = |content_type: &str| {
        world.request(Method::POST, "/v1/crm/leads").header("content-type", content_type).body("{\"name\":\"Ada\"}")
    };
    let media = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let untyped = world.request(Method::POST, "/v1/crm/leads").body("{\"name\":\"Ada\"}");
    let streamed = futures::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1_000])));
    world
        .refuses(vec![
            (typed("text/plain"), media, "content_type_unsupported"),
            (typed("application/x-www-form-urlencoded"), media, "content_type_unsupported"),
            (typed("application/json; charset=utf-16"), media, "content_type_unsupported"),
            (typed("multipart/form-data; boundary=x"), media, "content_type_unsupported"),
            (untyped, media, "content_type_unsupported"),
            (raw(&world, vec![b' '; 10_001]), StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            (raw(&world, reqwest::Body::wrap_stream(streamed)), StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        ])
        .await;
}

#[tokio::test]
async fn headers_and_parameters_are_checked() {
    let world = World::start().await;
    let with = |name: &str, value: &str| {
        world.request(Method::POST, "/v1/crm/leads").header(name, value).json(&json!({ "name": "Ada" }))
    };
    let twice = with("idempotency-key", "a").header("idempotency-key", "b");
    let not_ascii = with("idempotency-key", "käse");
    let another_type = with("content-type", "application/json").header("content-type", "text/plain");
    let asked = world.request(Method::POST, "/graphql").json(&json!({ "query": "{ __typename }" }));
    let unknown_service = asked.header("x-min-position", "crm=1").header("x-min-position", "erp=1");
    let another_encoding = with("content-encoding", "identity").header("content-encoding", "gzip");
    world
        .refuses(vec![
            (with("idempotency-key", ""), BAD, "header_invalid"),
            (with("idempotency-key", &"k".repeat(256)), BAD, "header_invalid"),
            (twice, BAD, "header_invalid"),
            (not_ascii, BAD, "header_invalid"),
            (another_type, BAD, "header_invalid"),
            (another_encoding, BAD, "header_invalid"),
            (unknown_service, BAD, "header_invalid"),
            // A new resource has no version yet.
            (with("if-match", "\"1\""), BAD, "header_invalid"),
            (with("if-match", "3"), BAD, "header_invalid"),
            (with("if-match", "\"1\" \"3\""), BAD, "header_invalid"),
            (with("if-match", "*, \"3\""), BAD, "header_invalid"),
            (with("occurred-at", "yesterday"), BAD, "header_invalid"),
            (with("occurred-at", "2026-01-31 08:00:00Z"), BAD, "header_invalid"),
            (with("occurred-at", "2999-01-01T00:00:00Z"), BAD, "occurred_in_future"),
            (with("occurred-at", "1969-12-31T23:59:59Z"), BAD, "day_out_of_range"),
            (with("content-encoding", "gzip"), StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding_unsupported"),
            (world.request(Method::POST, "/v1/crm/leads?dryrun=true"), BAD, "parameter_unknown"),
            (world.request(Method::GET, "/v1/crm/leads/7"), BAD, "parameter_invalid"),
            (
                world.request(Method::GET, "/v1/crm/leads/%7B0197a8a0-0000-7000-8000-000000000001%7D"),
                BAD,
                "parameter_invalid",
            ),
            (
                world.request(Method::GET, "/v1/crm/leads/urn:uuid:0197a8a0-0000-7000-8000-000000000001"),
                BAD,
                "parameter_invalid",
            ),
            (world.request(Method::GET, "/v1/crm/leads/0197a8a0000070008000000000000001"), BAD, "parameter_invalid"),
            (world.request(Method::POST, "/v1/crm/leads/import?source=web&source=event"), BAD, "parameter_invalid"),
            (world.request(Method::GET, "/v1/crm/nothing"), StatusCode::NOT_FOUND, "route_unknown"),
            (world.request(Method::GET, "/v1/crm/leads/../../etc/passwd"), StatusCode::NOT_FOUND, "route_unknown"),
            (world.request(Method::DELETE, "/v1/crm/leads"), StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        ])
        .await;
    for (path, allowed) in [("/v1/crm/leads", "POST"), ("/graphql", "GET, HEAD, POST"), ("/ready", "GET, HEAD")] {
        let refused = Answer::of(world.request(Method::DELETE, path)).await;
        assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, allowed), "{path}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_csv_of_leads_is_refused_as_a_whole() {
    let world = World::start_with(|config| config.http.upload_limit = 3 << 20).await;
    let file = |bytes: Vec<u8>| {
        world.request(Method::POST, "/v1/crm/leads/import").header("content-type", "text/csv").body(bytes)
    };
    let utf16: Vec<u8> = "name\nAda\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16 = [&[0xff, 0xfe][..], &utf16].concat();
    let wide = format!("name{}\nAda\n", ",x".repeat(1_000_000));
    let before = world.head().await;
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("UTF-16", utf16),
        ("Latin-1", b"name\nZo\xeb\n".to_vec()),
        ("a million columns", wide.into_bytes()),
        ("an unknown column", b"name,shoe\nAda,38\n".to_vec()),
        ("a column twice", b"name,name\nAda,Ada\n".to_vec()),
        ("no name", b"company\nAnalytical Engines\n".to_vec()),
        ("nothing but formulas", b"name\n=1+1\n".to_vec()),
        ("broken quotes", b"name\nA\"nn\"\n".to_vec()),
    ] {
        let answer = Answer::of(file(bytes)).await;
        assert!(answer.status.is_client_error(), "{name} got {answer:?}");
        answer.assert_problem();
    }
    // As in the report of a file of which some rows are taken: an error of the whole row names no column.
    let answer = Answer::of(file(b"name,email\nAda\n=1,a@example.com\n".to_vec())).await;
    assert_eq!(answer.code(), "csv_no_row_taken", "{answer:?}");
    let errors = answer.body["row_errors"].as_array().unwrap();
    let columns: Vec<_> = errors.iter().map(|error| error.get("column")).collect();
    assert_eq!(columns, [None, Some(&json!("name"))], "{answer:?}");
    let json = world.request(Method::POST, "/v1/crm/leads/import").json(&json!([]));
    let headless = world.request(Method::POST, "/v1/crm/leads/import");
    let headless = headless.header("content-type", "text/csv; header=absent").body("name\nAda\n");
    world
        .refuses(vec![
            (json, StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type_unsupported"),
            (headless, StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type_unsupported"),
            (file(vec![b'a'; (3 << 20) + 1]), StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        ])
        .await;
    assert_eq!(world.head().await, before);
}

#[tokio::test]
async fn rows_that_are_wrong_are_reported_and_the_others_taken() {
    let world = World::start().await;
    let csv =
        "name,email,company\nAda,ada@example.com,Engines\n=cmd(),x@example.com,\nGrace,none,Navy\nMary,,\"A, B\"\n";
    let import = |query: &str| {
        world
            .request(Method::POST, &format!("/v1/crm/leads/import{query}"))
            .header("content-type", "text/csv; charset=utf-8")
            .body(csv)
    };
    let before = world.head().await;
    let dry = Answer::of(import("?dry_run=true")).await;
    assert_eq!(
        (dry.status, &dry.body["taken"], &dry.body["refused"]),
        (StatusCode::OK, &json!(2), &json!(2)),
        "{dry:?}"
    );
    assert_eq!(world.head().await, before, "a dry run wrote");
    assert_eq!(dry.header("x-position"), "", "nothing was written that could be waited for");
    let members = dry.body.as_object().unwrap();
    assert!(!members.contains_key("version") && !members.contains_key("position"), "{dry:?}");
    let done = Answer::of(import("?source=campaign")).await;
    let position = format!("crm={}", done.body["position"]);
    assert_eq!((&done.body["version"], done.header("x-position")), (&json!(1), &*position), "{done:?}");
    assert_eq!(
        (done.status, &done.body["taken"], &done.body["refused"]),
        (StatusCode::OK, &json!(2), &json!(2)),
        "{done:?}"
    );
    let lines: Vec<_> = done.body["errors"].as_array().unwrap().iter().map(|error| error["line"].clone()).collect();
    assert_eq!(lines, [json!(3), json!(4)]);
    assert_eq!(world.head().await, before + 3, "two leads and the record of the import");
}

#[tokio::test]
async fn a_parameter_is_named_as_the_contract_names_it_with_what_is_allowed() {
    let world = World::start().await;
    let csv = |query: &str| {
        let path = format!("/v1/crm/leads/import?{query}");
        world.request(Method::POST, &path).header("content-type", "text/csv").body("name\nAda\n")
    };
    let jobs = |query: &str| world.request(Method::GET, &format!("/v1/jobs/crm?{query}"));
    let stage = "/v1/crm/pipelines/0197a8a0-0000-7000-8000-000000000001/stages/7/retire";
    for (request, name, allowed) in [
        (world.request(Method::GET, "/v1/crm/leads/7"), "lead", "0197a8a0-0000-7000-8000-000000000001"),
        (world.request(Method::POST, stage).json(&json!({})), "stage", "a UUID with hyphens"),
        (csv("dry_run=maybe"), "dry_run", "true and false"),
        (csv("source=telepathy"), "source", "website, referral, event, cold_call, campaign, partner, other"),
        (csv("mapping=Firma"), "mapping", "<header>:<field>"),
        (csv("mapping=name:company,name:name"), "mapping", "\"name\" is named twice"),
        (csv("dry_run=true&dry_run=false"), "dry_run", "once"),
        (jobs("kind=export_lead"), "kind", "allowed: export_leads"),
        (jobs("queue=export"), "queue", "allowed: default, exports, imports"),
        (jobs("batch=0197a8a0000070008000000000000001"), "batch", "a UUID with hyphens"),
        (jobs("after=%7B0197a8a0-0000-7000-8000-000000000001%7D"), "after", "a UUID with hyphens"),
        (jobs("schedule=urn:uuid:0197a8a0-0000-7000-8000-000000000001"), "schedule", "a UUID with hyphens"),
    ] {
        let refused = Answer::of(request).await;
        assert_eq!((refused.status, refused.code()), (BAD, "parameter_invalid"), "{refused:?}");
        assert_eq!(refused.body["parameter"], name, "{refused:?}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(allowed) && !detail.contains("parse"), "{detail}");
    }
}

#[tokio::test]
async fn numbers_days_and_ids_of_a_body_are_refused_with_what_is_allowed() {
    let world = World::start().await;
    let stages = |stage: Value| ("/v1/crm/pipelines", json!({ "name": "Sales", "stages": [stage] }));
    let id = "0197a8a0-0000-7000-8000-000000000001";
    let deal = |member: &str, value: Value| {
        let mut body = json!({
            "name": "A deal", "pipeline": id, "amount": { "minor": 1, "currency": "EUR" }, "close_date": "2026-02-03",
        });
        body[member] = value;
        ("/v1/crm/opportunities", body)
    };
    let rate =
        |day: &str| ("/v1/crm/currencies/set-rate", json!({ "from": "USD", "to": "EUR", "day": day, "rate_nanos": 1 }));
    let form = "a UUID with hyphens";
    let heads = async || (world.head().await, world.head_of(&world.auth).await);
    let before = heads().await;
    for ((path, body), pointer, allowed) in [
        (stages(json!({ "name": "Open", "probability": 300 })), "/stages/0/probability", "from 0 to 100"),
        (stages(json!({ "name": "Open", "probability": -1 })), "/stages/0/probability", "from 0 to 100"),
        (
            stages(json!({ "name": "Open", "probability": 1, "rotten_after_days": 0 })),
            "/stages/0/rotten_after_days",
            "from 1 to 3650",
        ),
        (
            ("/v1/crm/accounts", json!({ "name": "Acme", "employees": 2_147_483_648_u64 })),
            "/employees",
            "from 0 to 2147483647",
        ),
        (
            deal("line_items", json!([{ "name": "x", "quantity": 2_147_483_648_u64, "unit_price_minor": 1 }])),
            "/line_items/0/quantity",
            "from 1 to 2147483647",
        ),
        (
            deal("line_items", json!([{ "name": "x", "quantity": 0, "unit_price_minor": 1 }])),
            "/line_items/0/quantity",
            "from 1 to",
        ),
        // An empty body must not remove the account: it has to be an explicit null.
        (
            ("/v1/crm/contacts/0197a8a0-0000-7000-8000-000000000001/change-account", json!({})),
            "/account",
            "missing field",
        ),
        (
            ("/v1/crm/opportunities/0197a8a0-0000-7000-8000-000000000001/change-account", json!({})),
            "/account",
            "missing field",
        ),
        (
            ("/v1/crm/opportunities/0197a8a0-0000-7000-8000-000000000001/change-contact", json!({})),
            "/contact",
            "missing field",
        ),
        (("/v1/crm/accounts/0197a8a0-0000-7000-8000-000000000001/reassign", json!({})), "/owner", "missing field"),
        (("/v1/crm/contacts/0197a8a0-0000-7000-8000-000000000001/reassign", json!({})), "/owner", "missing field"),
        (deal("close_date", json!("2024-2-3")), "/close_date", "YYYY-MM-DD"),
        (deal("close_date", json!("2024-02-30")), "/close_date", "YYYY-MM-DD"),
        (deal("close_date", json!(20_240_203)), "/close_date", "2026-02-03"),
        (rate("2024-2-3"), "/day", "YYYY-MM-DD"),
        (deal("pipeline", json!(id.replace('-', ""))), "/pipeline", form),
        (deal("account", json!(format!("{{{id}}}"))), "/account", form),
        (deal("stage", json!(format!("urn:uuid:{id}"))), "/stage", form),
        (
            (
                "/v1/auth/clients",
                json!({ "name": "app", "confidential": true, "redirect_uris": ["https://a.example/", "https://a.example/"] }),
            ),
            "/redirect_uris/1",
            "listed twice",
        ),
    ] {
        let refused = world.post(path, body.clone()).await;
        assert_eq!((refused.status, refused.code()), (BAD, "validation_failed"), "{body} got {refused:?}");
        let error = &refused.body["errors"][0];
        assert_eq!(error["pointer"], pointer, "{refused:?}");
        assert!(error["detail"].as_str().unwrap().contains(allowed), "{refused:?}");
    }
    assert_eq!(heads().await, before);
}

#[tokio::test]
async fn a_formula_is_text_in_json_where_a_program_means_what_it_says() {
    let world = World::start().await;
    let captured = world.post("/v1/crm/leads", json!({ "name": "Ada", "company": "@properties" })).await;
    let found = world.get(captured.header("location")).await;
    assert_eq!(found.body["company"], "@properties", "{found:?}");
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_it_would_be() {
    let world = World::start().await;
    let id = "0197a8a0-0000-7000-8000-000000000001";
    for (path, resource) in [
        (format!("/v1/crm/leads/{id}"), "crm.lead"),
        (format!("/v1/crm/leads/{id}/erasure"), "crm.lead"),
        (format!("/v1/crm/imports/{id}"), "crm.import_batch"),
        (format!("/v1/user/imports/{id}"), "user.import_batch"),
        (format!("/v1/user/users/{id}"), "user.user"),
        (format!("/v1/user/users/{id}/erasure"), "user.user"),
        (format!("/v1/auth/machines/{id}"), "auth.machine"),
        (format!("/v1/auth/users/{id}/consents"), "user.user"),
        (format!("/v1/jobs/crm/{id}"), "job"),
        (format!("/v1/jobs/crm/batches/{id}"), "batch"),
        (format!("/v1/jobs/crm/schedules/{id}"), "schedule"),
        (format!("/v1/events/webhooks/{id}"), "webhook"),
        (format!("/v1/events/webhooks/{id}/changes?after=1"), "webhook"),
        (format!("/v1/sagas/crm/{id}"), "saga"),
        ("/v1/sagas/erp".to_owned(), "service"),
        ("/v1/jobs/erp".to_owned(), "service"),
        ("/v1/dead-letters/erp".to_owned(), "service"),
        ("/v1/dead-letters/crm/projection.leads.7".to_owned(), "dead_letter"),
        ("/v1/events/types/crm.lead.vanished/1".to_owned(), "event_type"),
    ] {
        let unknown = world.get(&path).await;
        assert_eq!((unknown.status, unknown.code()), (StatusCode::NOT_FOUND, "not_found"), "{path}: {unknown:?}");
        assert_eq!(unknown.body["resource"], resource, "{path}: {unknown:?}");
    }
}
