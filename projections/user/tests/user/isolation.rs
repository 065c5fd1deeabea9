//! Tenants do not see each other, whatever a query asks.

use kernel::UserId;
use user_projections::people::{self, PersonFilter, PersonOrder};
use user_projections::{AsOf, access, projections};

use crate::directory::user;
use crate::stage::Stage;
use crate::story::Story;

#[tokio::test]
async fn a_query_that_forgets_the_tenant_or_names_another_still_sees_its_own_rows_only() {
    let stage = Stage::fresh().await;
    let mut theirs = Story::new();
    let ada = user(&mut theirs, "Ada", &["admin"]);
    stage.apply(&theirs.events, 100).await.unwrap();

    let ours = testbed::tenant();
    let mut tables = stage.read(ours).await;
    for table in projections().iter().flat_map(|projection| projection.tables()) {
        let sql = format!("SELECT count(*) FROM {table}");
        let count: i64 = sqlx::query_scalar(&sql).fetch_one(&mut *tables).await.unwrap();
        assert_eq!(count, 0, "{table}");
    }
    for tenant in [ours, theirs.tenant] {
        assert_eq!(people::find(&mut tables, tenant, &[ada]).await.unwrap(), []);
        assert_eq!(people::by_login(&mut tables, tenant, "ada@example.com").await.unwrap(), None);
        let found = people::list(&mut tables, tenant, &PersonFilter::default(), PersonOrder::Name, None, 10).await;
        assert_eq!(found.unwrap(), []);
        let access = access::access(&mut tables, tenant, UserId::new(ada), &[], AsOf::TODAY).await.unwrap();
        assert_eq!(access, None);
    }
}
