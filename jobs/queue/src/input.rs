//! Input files of jobs, stored in parts.

use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

/// The size of a part, in bytes.
pub(crate) const PART: usize = 1 << 20;

/// Stores the input file of a job, in the transaction that creates the job.
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
