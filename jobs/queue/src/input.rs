//! The file that a job works on, part by part.

use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

/// Bytes of a part.
pub(crate) const PART: usize = 1 << 20;

/// Keeps a file for a job, within the transaction that makes the job.
pub(crate) async fn keep(
    tables: &mut PgConnection,
    tenant: TenantId,
    job: Uuid,
    file: &[u8],
) -> Result<(), sqlx::Error> {
    for (part, bytes) in (1_i32..).zip(file.chunks(PART)) {
        sqlx::query("INSERT INTO jobs.inputs (tenant_id, job_id, part, bytes) VALUES ($1, $2, $3, $4)")
            .bind(tenant.uuid())
            .bind(job)
            .bind(part)
            .bind(bytes)
            .execute(&mut *tables)
            .await?;
    }
    Ok(())
}
