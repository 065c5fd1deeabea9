//! Users and groups together: `POST /.search` (RFC 7644 section 3.4.3).

use super::list::Asked;
use super::visit::Visit;
use super::{Answer, Reply, Scim, group, user};

/// `POST /.search`: users first, then groups.
pub(super) async fn search(scim: &Scim, visit: Visit) -> Answer {
    let asked = Asked::read(&visit.object()?)?;
    visit.caller.require(user::PERMISSION)?;
    visit.caller.require(group::PERMISSION)?;
    let tenant = visit.tenant();
    let mut tables = scim.current(tenant).await?;
    let groups = group::candidates(scim, &mut tables, tenant, asked.filter.as_ref()).await?;
    let mut answer = if let Some(filter) = &asked.filter {
        let mut all = user::candidates(scim, &mut tables, tenant, filter).await?;
        all.extend(groups);
        asked.answer_of_all(all)
    } else {
        let (users, mut page) = user::page(scim, &mut tables, tenant, &asked).await?;
        let total = users + groups.len() as i64;
        let passed = usize::try_from((asked.start - 1 - users).max(0)).unwrap_or(usize::MAX);
        let room = usize::try_from(asked.count).unwrap_or_default().saturating_sub(page.len());
        page.extend(groups.into_iter().skip(passed).take(room));
        asked.answer(total, page)
    };
    group::show_members(scim, &visit, &mut tables, &asked, &mut answer).await?;
    Ok(Reply::ok(answer))
}
