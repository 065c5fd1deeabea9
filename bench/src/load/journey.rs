//! The commands of a client: it captures a lead, takes it through its steps, and begins again. Each request is one command that appends one
//! event; three in four concern an existing aggregate.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Answer, Zipf};

/// The steps of a lead after its capture, in order: the path below `/v1/crm/leads/{id}` and the body.
const STEPS: [(&str, &str); 3] =
    [("assign", r#"{"owner":"rep-7"}"#), ("start-work", "{}"), ("qualify", r#"{"note":"asked for an offer"}"#)];

/// The number of the next command of this run. It makes idempotency keys and leads' names unique.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The state of one client: its current lead and step.
#[derive(Clone, Debug)]
pub struct Journey {
    token: Arc<str>,
    zipf: Option<Arc<Zipf>>,
    run: Arc<str>,
    lead: Option<String>,
    step: usize,
    request: String,
}

impl Journey {
    /// A client with this token, or, with `zipf`, with the token of another tenant for each lead. `run` makes the idempotency keys of this
    /// run differ from those of other runs against the same servers.
    pub fn new(token: Arc<str>, zipf: Option<Arc<Zipf>>, run: Arc<str>) -> Self {
        Self { token, zipf, run, lead: None, step: 0, request: String::with_capacity(1024) }
    }

    /// Renders the next command.
    pub fn next(&mut self) -> &[u8] {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.request.clear();
        match &self.lead {
            None => {
                if let Some(zipf) = &self.zipf {
                    self.token = zipf.choose(number);
                }
                let body = format!(
                    r#"{{"name":"Ada Byron {number}","company":"Engines {number} Ltd","title":"Head of Numbers","email":"ada.{number}@example.com","country":"GB","source":"website"}}"#
                );
                render(&mut self.request, "", &self.token, &self.run, number, &body);
            }
            Some(lead) => {
                let (path, body) = STEPS[self.step];
                let path = format!("/{lead}/{path}");
                render(&mut self.request, &path, &self.token, &self.run, number, body);
            }
        }
        self.request.as_bytes()
    }

    /// Processes the response to the command that was rendered last. After a refusal the next command captures another lead.
    pub fn answered(&mut self, answer: &Answer<'_>) -> Result<(), String> {
        if !(200..300).contains(&answer.status) {
            self.lead = None;
            return Err(format!("{} {}", answer.status, String::from_utf8_lossy(answer.body)));
        }
        if self.lead.is_none() {
            let id = id_of(answer.body)
                .ok_or_else(|| format!("an answer without an id: {}", String::from_utf8_lossy(answer.body)))?;
            self.lead = Some(id.to_owned());
            self.step = 0;
        } else {
            self.step += 1;
            if self.step == STEPS.len() {
                self.lead = None;
            }
        }
        Ok(())
    }

    /// The current lead; none before its capture and after its last step.
    pub fn lead(&self) -> Option<&str> {
        self.lead.as_deref()
    }
}

fn render(request: &mut String, path: &str, token: &str, run: &str, number: u64, body: &str) {
    // Writing to a String does not fail.
    let _ = write!(
        request,
        "POST /v1/crm/leads{path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\nidempotency-key: {run}-{number}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
}

/// The field `id` of a response, found without parsing the whole body.
fn id_of(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("\"id\":")?;
    let (id, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer { status, head: b"", body: body.as_bytes() }
    }

    fn path(request: &[u8]) -> String {
        String::from_utf8(request.to_vec()).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    #[test]
    fn a_lead_is_captured_assigned_worked_on_qualified_and_then_the_next_one_comes() {
        let mut journey = Journey::new("t".into(), None, "r".into());
        let mut paths = Vec::new();
        for _ in 0..5 {
            paths.push(path(journey.next()));
            journey.answered(&answer(201, r#"{"id": "0197","version":1}"#)).unwrap();
        }
        assert_eq!(
            paths,
            [
                "/v1/crm/leads",
                "/v1/crm/leads/0197/assign",
                "/v1/crm/leads/0197/start-work",
                "/v1/crm/leads/0197/qualify",
                "/v1/crm/leads"
            ]
        );
    }

    #[test]
    fn a_refusal_is_told_and_the_next_command_captures_a_lead() {
        let mut journey = Journey::new("t".into(), None, "r".into());
        journey.next();
        journey.answered(&answer(201, r#"{"id":"1"}"#)).unwrap();
        journey.next();
        assert_eq!(journey.answered(&answer(409, "no")).unwrap_err(), "409 no");
        assert_eq!(path(journey.next()), "/v1/crm/leads");
    }
}
