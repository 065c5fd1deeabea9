//! Loads pipelines and exchange rates.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::super::data::{BASE_CURRENCY, PIPELINES};
use super::parallel::for_all;
use super::{Counted, Loader};

/// The ids of a pipeline and its stages.
#[derive(Clone, Debug)]
pub struct PipelineIds {
    pub id: String,
    /// Ids of the stages, in order.
    pub stages: Vec<String>,
}

impl Loader<'_> {
    /// Creates the base currency, the rates and the pipelines.
    pub(super) async fn set_up(&self) -> Result<Counted<Vec<PipelineIds>>> {
        // Currencies first: a tenant that already has some is refused here, before anything is created.
        let base = json!({ "base": BASE_CURRENCY });
        self.send("/currencies/set-base".to_owned(), "base", self.set.begins_at, base).await?;
        // One at a time, because all rates are in one stream and would conflict.
        for_all(&self.set.rates, 1, |number, rate| async move {
            let body = json!({ "from": rate.from, "to": BASE_CURRENCY, "day": rate.day, "rate_nanos": rate.nanos });
            self.send("/currencies/set-rate".to_owned(), &format!("rate/{number}"), self.set.begins_at, body).await
        })
        .await?;
        let mut pipelines = Vec::new();
        for (number, pipeline) in PIPELINES.iter().enumerate() {
            let stages: Vec<_> = pipeline
                .stages
                .iter()
                .map(|(name, probability)| json!({ "name": name, "probability": probability, "rotten_after_days": 45 }))
                .collect();
            let body = json!({ "name": pipeline.name, "stages": stages });
            let key = format!("pipeline/{number}");
            pipelines.push(ids(&self.send("/pipelines".to_owned(), &key, self.set.begins_at, body).await?)?);
        }
        let made = pipelines.len() + 1 + self.set.rates.len();
        Ok(Counted { result: pipelines, records: made, requests: made })
    }
}

fn ids(answer: &Value) -> Result<PipelineIds> {
    let id = answer["id"].as_str().map(str::to_owned);
    let stages = answer["stages"]
        .as_array()
        .and_then(|stages| stages.iter().map(|stage| stage.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
    id.zip(stages)
        .map(|(id, stages)| PipelineIds { id, stages })
        .with_context(|| format!("no ids in the answer to a new pipeline: {answer}"))
}
