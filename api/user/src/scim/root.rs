//! Search over users and groups together: `POST /.search` (RFC 7644 section 3.4.3).

use super::list::ListQuery;
use super::request::ScimRequest;
use super::{Answer, Reply, Scim, group, user};

/// `POST /.search`: users first, then groups.
pub(super) async fn search(scim: &Scim, incoming: ScimRequest) -> Answer {
    let query = ListQuery::of(&incoming)?;
    incoming.caller.require(user::PERMISSION)?;
    incoming.caller.require(group::PERMISSION)?;
    let tenant = incoming.tenant();
    let mut tables = scim.current(tenant).await?;
    let mut answer = if let Some(filter) = &query.filter {
        let mut all = user::candidates(scim, &mut tables, tenant, filter).await?;
        all.extend(group::candidates(scim, &mut tables, tenant, filter).await?);
        query.answer_filtered(all)
    } else {
        let (users, mut page) = user::page(scim, &mut tables, tenant, &query).await?;
        let (skipped, room) = ((query.start - 1 - users).max(0), query.count - page.len() as i64);
        let (groups, more) = group::page(scim, &mut tables, tenant, skipped, room).await?;
        page.extend(more);
        query.answer(users + groups, page)
    };
    group::show_members(scim, &incoming, &mut tables, &query, &mut answer).await?;
    Ok(Reply::ok(answer))
}
