//! The response that contains the output file of a job.

use futures::stream;
use jobs::Jobs;
use kernel::{Refusal, TenantId};
use poem::http::{HeaderValue, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use uuid::Uuid;

/// The output file of a job. It is stored in numbered parts, which are read from the database one by one while the response is sent, so
/// that at most one part is in memory.
pub struct File {
    pub jobs: Jobs,
    pub tenant: TenantId,
    pub id: Uuid,
    pub media_type: &'static str,
    pub parts: u32,
}

impl IntoResponse for File {
    fn into_response(self) -> Response {
        let Self { jobs, tenant, id, media_type, parts } = self;
        // If a part can't be read, the response body ends with an error, so that the client notices that it is incomplete.
        let bytes = stream::unfold(1, move |part| {
            let jobs = jobs.clone();
            async move {
                if part > parts {
                    return None;
                }
                let read = jobs.part(tenant, id, part).await;
                Some((read.map_err(|refusal: Refusal| std::io::Error::other(refusal.detail().to_owned())), part + 1))
            }
        });
        Response::builder()
            .header(header::CONTENT_TYPE, HeaderValue::from_static(media_type))
            .header(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"))
            .body(Body::from_bytes_stream(stream::StreamExt::boxed(bytes)))
    }
}

/// The beginning of a file of leads, as an example.
const EXAMPLE: &str = "id,name,company\r\n0197a8a0-0000-7000-8000-000000000001,Grace Hopper,Eckert-Mauchly\r\n";

impl poem_openapi::ApiResponse for File {
    fn meta() -> MetaResponses {
        let content = MetaMediaType {
            content_type: "text/csv",
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema {
                example: Some(EXAMPLE.into()),
                ..MetaSchema::new("string")
            })),
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The job's output",
                status: Some(200),
                status_range: None,
                content: vec![content],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
