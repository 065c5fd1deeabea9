//! Reads and compares the contents of read models.

use std::collections::BTreeMap;

use sqlx::PgConnection;

/// All rows of all tables as JSON text, sorted, by table name.
pub type Content = BTreeMap<String, Vec<String>>;

/// The contents of all read models of CRM.
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

/// Checks that two contents are equal row by row. The error names the first difference.
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
