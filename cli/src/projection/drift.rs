//! `inopsio projection drift`: compares each row of the read models with the log.

use anyhow::{Result, bail};
use kernel::Service;
use projector::{Difference, Drift};
use serde_json::{Value, json};

use super::Chosen;
use crate::context::Context;
use crate::output::{self, Format};
use crate::progress;

/// Compares each of these projections with the log. Fails if a row differs.
pub(super) async fn drift(context: &Context, chosen: Chosen, limit: usize, values: bool) -> Result<()> {
    let admin = directory::admin_options(&context.config)?;
    let mut documents = Vec::new();
    let mut differing = 0;
    for (service, projections) in chosen {
        let database = context.config.database(service);
        let store = context.store(service).await?;
        for projection in projections {
            let bar = progress::bar(0, "positions");
            let found = projector::drift(&admin, &database, &store, projection.as_ref(), limit, |so_far| {
                bar.set_length(so_far.head.0);
                bar.set_position(so_far.position.0);
            })
            .await?;
            bar.finish_and_clear();
            differing += found.differing;
            match context.format {
                Format::Json => documents.push(as_json(service, projection.name(), &found, values)),
                Format::Text => print(projection.name(), &found, values)?,
            }
        }
        store.close().await;
    }
    if context.format == Format::Json {
        output::print_json(&documents)?;
    }
    if differing > 0 {
        bail!("{differing} rows are not what the log says; `inopsio projection rebuild` repairs them");
    }
    Ok(())
}

fn print(name: &str, found: &Drift, values: bool) -> Result<()> {
    for one in &found.differences {
        let key = one.key.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>();
        let columns = one.columns.iter().map(|column| {
            let name = column.name.clone();
            if values { format!("{name}: {} instead of {}", column.live, column.expected) } else { name }
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let columns = if columns.is_empty() { columns } else { format!(" ({columns})") };
        output::print(format!("{}: {} {}{columns}", one.table, one.kind.as_str(), key.join(", ")))?;
    }
    let parked = match found.parked_events {
        0 => String::new(),
        parked => format!(", without {parked} parked events"),
    };
    let unchecked = if found.unknown_tenants_checked {
        ""
    } else {
        "; rows of tenants without events can't be seen with this admin role"
    };
    output::print(format!(
        "{name}: {} of {} rows of {} tenants differ as of position {}{parked}, in {:.1} s{unchecked}",
        found.differing,
        found.rows,
        found.tenants,
        found.position,
        found.took.as_secs_f64(),
    ))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn as_json(service: Service, name: &str, found: &Drift, values: bool) -> Value {
    json!({
        "service": service.name(),
        "projection": name,
        "position": found.position,
        "tenants": found.tenants,
        "rows": found.rows,
        "differing": found.differing,
        "differences": found.differences.iter().map(|one| difference(one, values)).collect::<Vec<_>>(),
        "parked_events": found.parked_events,
        "unknown_tenants_looked_for": found.unknown_tenants_checked,
        "seconds": found.took.as_secs_f64(),
    })
}

fn difference(one: &Difference, values: bool) -> Value {
    let columns = one.columns.iter().map(|column| {
        if values {
            json!({ "name": column.name, "live": column.live, "expected": column.expected })
        } else {
            json!({ "name": column.name })
        }
    });
    json!({ "table": one.table, "kind": one.kind.as_str(), "key": one.key, "columns": columns.collect::<Vec<_>>() })
}
