//! What the read models hold.

use std::collections::BTreeMap;

use sqlx::PgConnection;

/// Every row of every table, all columns, in order, by the table's name.
pub type Content = BTreeMap<String, Vec<String>>;

/// All that the service's read models hold.
pub async fn content(superuser: &mut PgConnection) -> Content {
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'crm' ORDER BY tablename")
            .fetch_all(&mut *superuser)
            .await
            .unwrap();
    assert!(!tables.is_empty(), "there are no read models");
    let mut content = Content::new();
    for table in tables {
        let rows = format!("SELECT to_jsonb(t)::text FROM crm.{table} t ORDER BY 1");
        content.insert(table, sqlx::query_scalar(&rows).fetch_all(&mut *superuser).await.unwrap());
    }
    content
}

/// The two are the same, row by row; if not, says the first rows that are not.
pub fn assert_equal(before: &Content, after: &Content) {
    assert!(before.keys().eq(after.keys()), "{:?} are not {:?}", before.keys(), after.keys());
    for (table, rows) in before {
        let rebuilt = &after[table];
        for (at, (row, other)) in rows.iter().zip(rebuilt).enumerate() {
            assert_eq!(row, other, "row {at} of {table} is not what a rebuild makes of it");
        }
        assert_eq!(rows.len(), rebuilt.len(), "{table} has another number of rows than its rebuild");
    }
}
