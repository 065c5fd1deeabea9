//! The refusals in the contract: for each status its meaning, the operations that it concerns, and examples.

use face::{Problem, example};
use kernel::Refusal;
use serde_json::{Map, Value, json};

use super::answers::{Operation, headers};

/// A status of refusals that the contract lists. All others are covered by the response `default`, a problem document, too.
pub(super) struct Refused {
    pub(super) status: &'static str,
    pub(super) name: &'static str,
    meaning: &'static str,
    /// The headers of the response.
    headers: &'static [(&'static str, &'static str)],
    /// Whether it concerns an operation.
    pub(super) of: fn(&Operation<'_>) -> bool,
    /// Examples, with the texts of the program's own refusals.
    examples: fn() -> Vec<Refusal>,
}

const RETRY_AFTER: (&str, &str) = ("Retry-After", "Seconds after which to try again");

pub(super) const REFUSED: [Refused; 11] = [
    Refused {
        status: "400",
        name: "BadRequest",
        meaning: "The request can't be parsed, or a value in it is not allowed; the member errors names each by its JSON pointer",
        headers: &[],
        // Also of an operation without parameters: one that it does not know is refused.
        of: |_| true,
        examples: || {
            let unknown = "the parameter state is not valid: allowed are parked, applied, discarded";
            vec![
                Refusal::field("/email", "email", "not an e-mail address like ada@example.com"),
                Refusal::invalid(
                    "json_malformed",
                    "the body is not JSON: EOF while parsing a value at line 1 column 8",
                )
                .with("line", 1)
                .with("column", 8),
                Refusal::invalid("parameter_invalid", unknown).with("parameter", "state"),
            ]
        },
    },
    Refused {
        status: "401",
        name: "Unauthenticated",
        meaning: "There is no valid token",
        headers: &[("WWW-Authenticate", "Bearer")],
        of: |operation| !operation.public,
        examples: || {
            vec![
                Refusal::unauthenticated(
                    "token_missing",
                    "this needs a token: send the header Authorization: Bearer <token>",
                ),
                Refusal::unauthenticated("token_expired", "the token has expired; ask for a new one"),
            ]
        },
    },
    Refused {
        status: "403",
        name: "Forbidden",
        meaning: "The token's roles do not grant the permission that the member permission names",
        headers: &[],
        of: |operation| !operation.public,
        examples: || {
            let detail = "this needs the permission crm:lead:write, which none of the caller's roles gives";
            let missing = Refusal::forbidden("permission_missing", detail).with("permission", "crm:lead:write");
            let detail = "the header X-Tenant-Id does not name the token's tenant; send a token of that tenant, or omit the header";
            vec![missing, Refusal::forbidden("tenant_differs", detail)]
        },
    },
    Refused {
        status: "404",
        name: "NotFound",
        meaning: "The resource in the path does not exist or belongs to another tenant; the answer is the same in both cases. At the caller's own user (/v1/user/me): the caller is none",
        headers: &[],
        of: |operation| operation.path.contains('{') || operation.path.starts_with("/v1/user/me"),
        examples: || vec![Refusal::absent("crm.lead", example::id(1))],
    },
    Refused {
        status: "409",
        name: "Conflict",
        meaning: "The current state does not allow the command, or a unique value is already taken",
        headers: &[],
        of: |operation| operation.command,
        examples: || {
            let detail =
                "a lead that is new can't take the step qualify; allowed steps: change_details, assign, disqualify";
            let step = Refusal::conflict("lead_step_not_allowed", detail)
                .with("step", "qualify")
                .with("state", "new")
                .with("allowed", json!(["change_details", "assign", "disqualify"]));
            let detail = "another contact (holder) has this e-mail address; set allow_duplicate to true to save the contact anyway";
            let taken = Refusal::conflict("contact_email_taken", detail).with("holder", example::id(3).to_string());
            vec![step, taken]
        },
    },
    Refused {
        status: "412",
        name: "VersionDiffers",
        meaning: "If-Match names a version that is not the current one",
        headers: &[],
        of: |operation| operation.conditioned,
        examples: || {
            let detail = "If-Match names version 1, the current version is 2; read it again, then decide";
            vec![Refusal::precondition_failed("version_differs", detail).with("version", 2)]
        },
    },
    Refused {
        status: "413",
        name: "TooLarge",
        meaning: "The body is too large",
        headers: &[],
        of: |operation| operation.command,
        examples: || {
            let detail = "the body is larger than 1048576 bytes";
            vec![Refusal::too_large("body_too_large", detail).with("allowed", 1_048_576)]
        },
    },
    Refused {
        status: "415",
        name: "UnsupportedMedia",
        meaning: "The content type, charset or encoding is not supported",
        headers: &[],
        of: |operation| operation.command,
        examples: || {
            let detail = "the content type \"text/plain\" is not supported here; send application/json in UTF-8";
            vec![Refusal::unsupported_media("content_type_unsupported", detail).with("allowed", "application/json")]
        },
    },
    Refused {
        status: "422",
        name: "Unprocessable",
        meaning: "The body refers to something that does not exist, belongs to another tenant or can't be used any more, or the idempotency key was used for another request",
        headers: &[],
        of: |operation| operation.command,
        examples: || {
            let detail = format!("there is no pipeline {}", example::id(5));
            let unknown = Refusal::reference("/pipeline", "not_found", detail);
            vec![unknown, Refusal::idempotency_key_reused("import of May")]
        },
    },
    Refused {
        status: "429",
        name: "RateLimited",
        meaning: "Too many requests for this token or tenant",
        headers: &[
            RETRY_AFTER,
            ("RateLimit-Limit", "Maximum number of requests in a burst"),
            ("RateLimit-Remaining", "Number of requests left in the burst"),
            ("RateLimit-Reset", "Seconds until more requests are allowed"),
        ],
        of: |_| true,
        examples: || {
            let detail = "too many requests for this token; wait as long as Retry-After says, then send fewer requests";
            let limited = Refusal::rate_limited("rate_limited", detail);
            vec![limited.with("limited", "token").with("retry_after", 2)]
        },
    },
    Refused {
        status: "503",
        name: "Unavailable",
        meaning: "A required component does not answer or is overloaded",
        headers: &[RETRY_AFTER],
        of: |_| true,
        examples: || {
            let busy = "too much waits to be written already; nothing was written: try again in a while";
            let away = "the event log does not answer; it is not known whether the command was done: repeat it with the same Idempotency-Key";
            vec![Refusal::unavailable("log_busy", busy), Refusal::unavailable("log_unavailable", away)]
        },
    },
];

/// The responses for `components`, to which operations refer.
pub(super) fn components() -> Value {
    let response = |refused: &Refused| {
        let shown = (refused.examples)().into_iter().map(|refusal| {
            let code = refusal.code().to_owned();
            (code, json!({ "value": Problem::from(refusal).document(Some(example::id(11))) }))
        });
        let shown = shown.collect::<Map<_, _>>();
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let content = json!({ "application/problem+json": { "schema": schema, "examples": shown } });
        let mut response = json!({ "description": refused.meaning, "content": content });
        if !refused.headers.is_empty() {
            response["headers"] = headers(refused.headers);
        }
        (refused.name.to_owned(), response)
    };
    Value::Object(REFUSED.iter().map(response).collect())
}
