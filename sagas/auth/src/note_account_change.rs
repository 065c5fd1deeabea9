//! Mails a person what was changed about their password, their second factors or their recovery codes.

use auth_aggregates::{Account, AccountEvent};
use coordinator::{Definition, Fault, Next, Start, StartContext, Step, StepContext};
use kernel::RecordedEvent;
use mailing::{LIMITS, Notice, PATIENT, SendNotice, decoded, send, state_before};

use crate::Ports;

/// The events of which people are told.
const STARTS_ON: [&str; 7] = [
    "auth.account.password_set",
    "auth.account.totp_enrolled",
    "auth.account.totp_removed",
    "auth.account.passkey_enrolled",
    "auth.account.passkey_removed",
    "auth.account.recovery_codes_set",
    "auth.account.recovery_code_used",
];

pub(crate) fn definition(ports: &Ports) -> Definition {
    let ports = ports.clone();
    let mail = move |context: StepContext, notice: SendNotice| mail(ports.clone(), context, notice);
    // The pivot: who may look after sagas does not keep a person from hearing that their account was taken over.
    let steps = vec![Step::new("mail", mail).retry(PATIENT).limits(LIMITS).pivot()];
    Definition::new("note_account_change", 1, &[], &STARTS_ON, start, steps)
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<SendNotice>>, Fault> {
    let parameters = SendNotice::of(&event)?;
    Ok(Some(Start { key: event.aggregate_id, parameters }))
}

async fn mail(ports: Ports, context: StepContext, SendNotice { user, sequence }: SendNotice) -> Result<Next, Fault> {
    let history = context.history::<Account>(user).await?;
    let told = told(&history, sequence)?;
    let Some((event, first)) = told.first().filter(|(event, _)| event.sequence == sequence) else {
        return Ok(Next::End("it is told with what came before it, or is nothing to tell"));
    };
    let mail = ports.notice_mails.notice_mail(context.tenant(), user).await;
    let mail = mail.map_err(|reason| Fault::transient("letter_not_made", reason))?;
    let Some(mail) = mail else { return Ok(Next::End("there is nobody to whom it could be mailed")) };
    let changes: Vec<_> = told.iter().map(|(_, change)| *change).collect();
    let advice = format!(
        "If you know nothing of it, somebody else may have your password, your session or your mail. Set a new password:\n\n\
         {issuer}/forgot\n\nThen end all sessions, and remove what you do not know:\n\n{issuer}/account\n\nAnd tell an administrator.",
        issuer = mail.issuer,
    );
    let notice = Notice { name: &mail.name, tenant: Some(&mail.tenant), changes: &changes, advice: &advice };
    send(&*ports.mailer, &context, &mail.to, first, notice.text(user, event)?).await
}

/// What is told of the command that wrote this event: one mail tells all that a command changed (an authenticator and its recovery codes, or
/// all second factors that an administrator removes).
fn told(history: &[RecordedEvent], sequence: u64) -> Result<Vec<(&RecordedEvent, &'static str)>, Fault> {
    let mut commands = history.chunk_by(|one, next| author(one).is_some_and(|one| Some(one) == author(next)));
    let Some(command) = commands.find(|command| command.iter().any(|event| event.sequence == sequence)) else {
        return Ok(Vec::new());
    };
    let before = state_before::<Account>(history, command.first().map_or(sequence, |first| first.sequence))?;
    let mut told = Vec::new();
    for event in command {
        let changes = decoded::<AccountEvent>(event)?.into_iter();
        told.extend(changes.filter_map(|change| sentence(&before, &change)).map(|sentence| (event, sentence)));
    }
    Ok(told)
}

/// Who executed the command that wrote an event, and under which id.
fn author(event: &RecordedEvent) -> Option<(String, String)> {
    event.decode_metadata().ok().map(|metadata| (metadata.actor, metadata.command_id))
}

/// What a person is told of a change of their account, which was in this state before; `None`: nothing. It does not name passkeys: whoever
/// adds one chooses its name, and so could write something to its owner.
fn sentence(before: &Account, change: &AccountEvent) -> Option<&'static str> {
    Some(match change {
        // Whoever has just accepted an invitation, or followed their first link, is setting the account up.
        AccountEvent::PasswordSet(_) if before.is_fresh() => return None,
        AccountEvent::PasswordSet(_) if before.password.is_none() => "A password was set",
        AccountEvent::PasswordSet(_) => "Your password was changed",
        AccountEvent::TotpEnrolled(_) => "An authenticator app was added",
        AccountEvent::TotpRemoved(_) => "The authenticator app was removed",
        AccountEvent::PasskeyEnrolled(_) => "A passkey was added",
        AccountEvent::PasskeyRemoved(_) => "A passkey was removed",
        AccountEvent::RecoveryCodesSet(_) => "New recovery codes were made",
        AccountEvent::RecoveryCodeUsed(_) => "A recovery code was used",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event of an account, by a command with an id that others use, too.
    fn event(sequence: u64, actor: &str, change: &str, more: &str) -> RecordedEvent {
        let (event_type, nobody) = (format!("auth.account.{change}"), "00000000-0000-0000-0000-000000000000");
        let ids = format!(r#""command_id":"1","correlation_id":"{nobody}","causation_id":"{nobody}""#);
        let metadata = format!(r#"{{"actor":"{actor}",{ids},"occurred_at":"2026-11-28T05:28:00Z"}}"#);
        RecordedEvent {
            payload: format!(r#"{{"event":"{event_type}"{more}}}"#).into(),
            metadata: metadata.into(),
            event_type,
            ..testbed::event(sequence)
        }
    }

    fn numbers(history: &[RecordedEvent], sequence: u64) -> Vec<u64> {
        told(history, sequence).unwrap().into_iter().map(|(event, _)| event.sequence).collect()
    }

    #[test]
    fn what_a_command_changed_is_told_together_without_what_is_not_told() {
        let history = [
            event(1, "ada", "totp_removed", ""),
            event(2, "ada", "entered", ""),
            event(3, "ada", "passkey_removed", r#","passkey":"one""#),
        ];
        for sequence in 1..=3 {
            assert_eq!(numbers(&history, sequence), [1, 3], "{sequence}");
        }
        assert_eq!(numbers(&history, 4), [0; 0]);
    }

    #[test]
    fn a_notice_waits_for_a_program_that_can_read_what_came_before_the_change() {
        let history = [event(1, "ada", "changed_by_a_newer_program", ""), event(2, "eve", "totp_removed", "")];
        let fault = told(&history, 2).unwrap_err();
        assert_eq!((fault.code.as_str(), fault.kind), ("history_unreadable", Fault::transient("", "").kind));
    }

    #[test]
    fn attack_279_the_id_of_somebody_elses_command_hides_no_change_behind_it() {
        let history = [event(1, "ada", "totp_removed", ""), event(2, "eve", "passkey_removed", r#","passkey":"one""#)];
        assert_eq!((numbers(&history, 1), numbers(&history, 2)), (vec![1], vec![2]));
    }
}
