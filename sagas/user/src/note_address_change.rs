//! Mails a person that the e-mail address of their account was changed, to the address that they verified last. Whoever reads mail to the
//! new one can set a password as soon as it is verified.

use coordinator::{Definition, Fault, Next, Start, StartContext, Step, StepContext};
use kernel::personal::erases;
use kernel::{Personal, RecordedEvent, folded};
use mailing::{LIMITS, Notice, PATIENT, SendNotice, send, state_before};
use user_aggregates::{Tenant, TenantStatus, User};

use crate::Ports;

const CHANGED: &str = "The e-mail address of your account was changed";

pub(crate) fn definition(ports: &Ports) -> Definition {
    let ports = ports.clone();
    let mail = move |context: StepContext, notice: SendNotice| mail(ports.clone(), context, notice);
    // The pivot: who may look after sagas does not keep a person from hearing that their account was taken over.
    let steps = vec![Step::new("mail", mail).retry(PATIENT).limits(LIMITS).pivot()];
    Definition::new("note_address_change", 1, &[], &["user.user.login_changed"], start, steps)
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<SendNotice>>, Fault> {
    let parameters = SendNotice::of(&event)?;
    Ok(Some(Start { key: event.aggregate_id, parameters }))
}

/// Everything is as of the event, so nothing that is done after it keeps the mail from the address, except the erasure of the person.
async fn mail(ports: Ports, context: StepContext, SendNotice { user, sequence }: SendNotice) -> Result<Next, Fault> {
    let history = context.history::<User>(user).await?;
    let Some(event) = history.iter().find(|event| event.sequence == sequence) else {
        return Ok(Next::End("the change is not there"));
    };
    // Their data may still be readable: in a log without a master key, nothing is encrypted.
    if history.iter().any(|event| erases(&event.event_type)) {
        return Ok(Next::End("the person was erased"));
    }
    let (before, after) = (state_before::<User>(&history, sequence)?, state_before::<User>(&history, sequence + 1)?);
    if is_same(&before.login.email, &after.login.email) {
        return Ok(Next::End("the address is the same as before"));
    }
    let to = before.verified_email.filter(|email| email.is_known() && !is_same(email, &after.login.email));
    let Some(to) = to else { return Ok(Next::End("there is no other address that the person has verified")) };
    let tenant = context.load::<Tenant>(context.tenant()).await?.map(|(tenant, _)| tenant);
    if tenant.as_ref().is_some_and(|tenant| !matches!(tenant.status, TenantStatus::Requested | TenantStatus::Active)) {
        return Ok(Next::End("nobody can use the tenant now"));
    }
    let account = tenant.as_ref().map(|tenant| format!(":\n\n{}/t/{}/account", ports.url, tenant.slug));
    let advice = format!(
        "If you know nothing of it, tell an administrator at once: who reads mail to the new address can set a new password there. As \
         long as you can sign in, change your password and end all other sessions{}",
        account.unwrap_or_else(|| ".".to_owned()),
    );
    let tenant = tenant.as_ref().map(|tenant| tenant.name.as_str());
    let notice = Notice { name: &before.profile.name, tenant, changes: &[CHANGED], advice: &advice };
    send(&*ports.mailer, &context, &to, CHANGED, notice.text(user, event)?).await
}

/// Whether two addresses are the same one, perhaps in another Unicode form or case.
fn is_same(one: &Personal<String>, other: &Personal<String>) -> bool {
    one.is_known() == other.is_known() && folded(one.reveal()) == folded(other.reveal())
}
